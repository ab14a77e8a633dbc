"""`python -m hpc.gather`: published outputs into DuckDB."""

import argparse
from typing import Any

from hpc import cli
from hpc.database.gather_outputs import gather
from hpc.reconcile.rebuild import rebuild
from hpc.reconcile.run_status import gather_and_report, look, slurm_of
from hpc.report import preview
from hpc.verb import Verb, chosen_run


def arguments(parser: argparse.ArgumentParser) -> None:
    cli.run_arguments(parser)
    parser.add_argument(
        "--rebuild", action="store_true", help="make the whole database again from the run folders"
    )


def act(given: argparse.Namespace, say: Any) -> tuple[int, dict[str, Any]]:
    run = chosen_run(given)
    slurm = slurm_of(run)
    if given.rebuild:
        gathered = rebuild(run, say)
    else:
        gathered = gather_and_report(run, look(run, slurm, whole=True), say)
    if gathered.set_aside:  # the history once more, now that these shards are not done
        again = look(run, slurm, whole=True)
        gather(run, again.observation, again.judgements)
    if not given.json:
        say(preview.describe_labels(run.manifest.database, run.manifest.name))
    document = {
        "rows_before": gathered.rows_before,
        "rows_added": gathered.rows_added,
        "rows_after": gathered.rows_after,
        "unlabelable": gathered.unlabelable,
        "already_present": gathered.already_present,
        "rejected_outputs": list(gathered.rejected),
    }
    return cli.FAILED if gathered.rejected else 0, document


VERB = Verb(name="gather", example="hpc gather", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
