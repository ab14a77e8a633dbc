"""`hpc gather`: copy finished labels into the database."""

import argparse
from typing import Any

from hpc.command_line import cli
from hpc.command_line.verb import Verb, chosen_run, report_left_out
from hpc.display import preview
from hpc.display.console import Printer
from hpc.display.label_counts import describe_no_label
from hpc.display.next_step import describe_next_step
from hpc.executors.factory import executor_of
from hpc.reconcile.gather import gather_run
from hpc.reconcile.rebuild import rebuild
from hpc.reconcile.trust import describe_older_run
from hpc.run.exit_codes import FAILED
from hpc.run.model import State
from hpc.run.run_state import EXIT_CODE


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    cli.run_arguments(parser)
    parser.add_argument(
        "--rebuild", action="store_true", help="make the whole database again from the run folders"
    )


def act(given: argparse.Namespace, say: Printer) -> tuple[int, dict[str, Any]]:
    """Gather, show a preview of the labels, and return the counts."""
    run = chosen_run(given)
    report_left_out(run.folder.parent, say)
    if note := describe_older_run(run):
        say(note)
    code = 0
    if given.rebuild:
        gathered = rebuild(run, say)
    else:
        gathered, status = gather_run(run, executor_of(run), say)
        if not any(judgement.state is State.DONE for judgement in status.judgements):
            say(f"no shard is done yet: the run is {status.state}")
            say(describe_next_step(status, is_gathered=False))
            code = EXIT_CODE[status.state]
        elif status.lacks_labels:
            say(describe_no_label(status.labels))
            code = FAILED
    if not given.json:
        say.show(*preview.describe_labels(run.manifest.database, run.manifest.name))
    document = {
        "rows_before": gathered.rows_before,
        "rows_added": gathered.rows_added,
        "rows_after": gathered.rows_after,
        "unlabelable": gathered.unlabelable,
        "already_present": gathered.already_present,
        "rejected_outputs": list(gathered.rejected),
        "unreadable_files": list(gathered.unreadable),
    }
    return FAILED if gathered.rejected or gathered.unreadable else code, document


VERB = Verb(name="gather", example="hpc gather", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
