"""`hpc gather`: copy finished labels into the database."""

import argparse
from typing import Any

from hpc import cli
from hpc.executors.factory import executor_of
from hpc.exit_codes import FAILED
from hpc.reconcile.gather import gather_run
from hpc.reconcile.rebuild import rebuild
from hpc.report import preview
from hpc.report.console import Printer
from hpc.verb import Verb, chosen_run


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    cli.run_arguments(parser)
    parser.add_argument(
        "--rebuild", action="store_true", help="make the whole database again from the run folders"
    )


def act(given: argparse.Namespace, say: Printer) -> tuple[int, dict[str, Any]]:
    """Gather, show a preview of the labels, and return the counts."""
    run = chosen_run(given)
    gathered = rebuild(run, say) if given.rebuild else gather_run(run, executor_of(run), say)
    if not given.json:
        say.show(*preview.describe_labels(run.manifest.database, run.manifest.name))
    document = {
        "rows_before": gathered.rows_before,
        "rows_added": gathered.rows_added,
        "rows_after": gathered.rows_after,
        "unlabelable": gathered.unlabelable,
        "already_present": gathered.already_present,
        "rejected_outputs": list(gathered.rejected),
    }
    return FAILED if gathered.rejected else 0, document


VERB = Verb(name="gather", example="hpc gather", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
