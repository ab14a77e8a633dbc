"""Run `hpc resubmit`: failed shards again, at the same array indices."""

import argparse

from hpc import cli
from hpc.database.gather_outputs import is_gathered
from hpc.executors.factory import executor_of
from hpc.reconcile import resubmit
from hpc.report.console import Printer
from hpc.report.next_step import describe_next_step
from hpc.report.run_summary import show_status
from hpc.run import run_folder
from hpc.run.array_indices import parse_indices
from hpc.run.model import ResourceRequest
from hpc.verb import Outcome, Verb, chosen_run
from pipeline.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc resubmit`."""
    cli.run_arguments(parser)
    parser.add_argument("--indices", help="these shards only, such as 3,7-9")
    parser.add_argument(
        "--force",
        action="store_true",
        help="also blocked shards that have ended, after waiting for late files",
    )
    parser.add_argument(
        "--mem-gb", type=cli.above_zero, help="this much memory, whatever the remedy says"
    )
    parser.add_argument(
        "--time-min", type=cli.at_least(1), help="this many minutes, whatever the remedy says"
    )
    parser.add_argument(
        "--caretaker", action="store_true", help="add a Slurm job that supervises from here on"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be submitted")


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Resubmit shards. A run whose tasks end with this process goes to its end."""
    run = chosen_run(options)
    request = resubmit.Request(
        indices=_indices(options.indices),
        override=ResourceRequest(mem_gb=options.mem_gb, time_min=options.time_min or 0),
        force=options.force,
        caretaker=options.caretaker,
        dry_run=options.dry_run,
    )
    with run_folder.lock_run(run) as lock:
        outcome = resubmit.resubmit(run, executor_of(run), request, lock, printer, printer.wait)
    gathered = is_gathered(run, outcome.end.observation)
    if outcome.has_ended:
        show_status(outcome.end, printer, is_gathered=gathered)
    elif not outcome.shards:
        printer(describe_next_step(outcome.end, is_gathered=gathered))
    jobs = [sent.array_job_id for sent in outcome.sent if sent.array_job_id is not None]
    document = {"run_id": run.run_id, "shards": list(outcome.shards), "array_jobs": jobs}
    return outcome.exit_code, document


def _indices(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return parse_indices(text)
    except ValueError as error:
        raise InputError(f"--indices: {error}") from None


VERB = Verb(name="resubmit", example="hpc resubmit --dry-run", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
