"""`python -m hpc.supervise`: drives a run to its end; may be killed and started again anywhere."""

import argparse
from typing import Any

from hpc import cli
from hpc.reconcile import caretaker
from hpc.reconcile.loop import supervise
from hpc.reconcile.run_status import slurm_of
from hpc.report.console import Printer
from hpc.report.run_summary import show_result
from hpc.report.status_table import document
from hpc.run import run_folder
from hpc.run.run_state import EXIT_CODE
from hpc.verb import Verb, chosen_run
from pipeline.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    cli.run_arguments(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="one round, for cron")
    how.add_argument(
        "--caretaker", type=int, metavar="N", help="as the job that submit --caretaker submits"
    )


def act(given: argparse.Namespace, say: Printer) -> tuple[int, dict[str, Any]]:
    run = chosen_run(given)
    slurm = slurm_of(run)
    if given.caretaker is None:
        with run_folder.lock_run(run) as lock:
            end = supervise(run, slurm, lock, say, once=given.once)
    elif slurm is None:
        raise InputError(f"run {run.run_id} is of the local executor: it needs no caretaker")
    else:
        end = caretaker.run_caretaker(run, slurm, given.caretaker, say)
    if not given.json:
        show_result(end, say)
    # Of a caretaker that did its work Slurm should not say that it failed.
    return 0 if given.caretaker is not None else EXIT_CODE[end.state], document(end)


VERB = Verb(name="supervise", example="hpc supervise --once", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
