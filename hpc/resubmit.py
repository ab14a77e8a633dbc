"""Run `hpc resubmit`: failed shards again, at the same array indices, perhaps corrected."""

import argparse

from msgspec.structs import replace

from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_run
from hpc.config import corrections, run_config
from hpc.database.gather_outputs import is_gathered
from hpc.display.amendments import changes_document, describe_changes
from hpc.display.console import Printer
from hpc.display.next_step import describe_next_step
from hpc.display.run_summary import show_status
from hpc.executors.base import Executor
from hpc.executors.factory import executor_of
from hpc.locks import run_lock
from hpc.reconcile import resubmit
from hpc.reconcile.amend import amend
from hpc.reconcile.check_resources import check_resources
from hpc.run.array_indices import parse_indices
from hpc.run.model import ResourceRequest, Run, Say
from hpc.run.plan import reaches_tasks
from hpc.run.resource_requests import apply_request, first_request
from hpc.run.slurm_time import parse_slurm_time
from hpc.runs import find_runs
from pipeline.errors import InputError
from pipeline.run_files.amendments import Change


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc resubmit`."""
    cli.run_arguments(parser, config_help="correct the run as this edited configuration says")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="a.b=value",
        help="correct one key of the run, if it changes no label",
    )
    parser.add_argument("--indices", help="these shards only, such as 3,7-9")
    parser.add_argument(
        "--force",
        action="store_true",
        help="also blocked shards that have ended, after waiting for late files",
    )
    parser.add_argument(
        "--mem-gb", type=cli.above_zero, help="this much memory, whatever the remedy says"
    )
    time = parser.add_mutually_exclusive_group()
    time.add_argument(
        "--time",
        dest="time_min",
        type=_slurm_time,
        metavar="TIME",
        help="this time limit, such as 4:00:00, whatever the remedy says",
    )
    time.add_argument(
        "--time-min",
        type=cli.at_least(1),
        metavar="N",
        help="this many minutes, whatever the remedy says",
    )
    parser.add_argument(
        "--caretaker", action="store_true", help="add a Slurm job that supervises from here on"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be submitted")


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Correct a run and resubmit shards. If tasks end with this process, wait for their end."""
    indices = _indices(options.indices)
    options.run = str(_find_run(options).folder)
    override = ResourceRequest(mem_gb=options.mem_gb, time_min=options.time_min or 0)
    with run_lock.lock_run(chosen_run(options)) as lock:
        # Somebody may have corrected it before this process got the lock.
        before = chosen_run(options)
        changes = _corrections(before, options)
        executor = executor_of(before)
        if options.caretaker:
            executor.caretaker_jobs()  # raises InputError if this executor's runs need none
        run = amend(before, changes, dry_run=True)
        if changes or options.mem_gb or options.time_min or options.caretaker:
            _check_resources(run, executor, override, options.caretaker, printer)
        if not options.dry_run:
            run = amend(before, changes)
        _report_corrections(run, options, changes, printer)
        request = resubmit.Request(
            indices=indices,
            override=override,
            # A correction is a look at what is blocked, too.
            force=options.force or bool(changes),
            corrected=any(reaches_tasks(change.key) for change in changes),
            caretaker=options.caretaker,
            dry_run=options.dry_run,
        )
        outcome = resubmit.resubmit(run, executor, request, lock, printer, printer.wait)
    gathered = is_gathered(run, outcome.end.observation)
    if outcome.has_ended:
        show_status(outcome.end, printer, is_gathered=gathered)
    elif not outcome.shards:
        printer(describe_next_step(outcome.end, is_gathered=gathered))
    jobs = [sent.array_job_id for sent in outcome.sent if sent.array_job_id is not None]
    document = {
        "run_id": run.run_id,
        "shards": list(outcome.shards),
        "array_jobs": jobs,
        "changes": changes_document(changes),
    }
    return outcome.exit_code, document


def _find_run(options: argparse.Namespace) -> Run:
    """Return the run that the arguments name; with only a configuration, its newest run."""
    if options.config is None or options.run:
        return chosen_run(options)
    name = run_config.load_name(options.config)
    root = run_config.load_storage(options.config).run_root
    runs = find_runs.named(root, name)
    if not runs:
        raise InputError(f"{options.config}: there is no run under the name {name} in {root}")
    return runs[-1]


def _corrections(run: Run, options: argparse.Namespace) -> tuple[Change, ...]:
    """Return what the arguments correct about the run.

    Raises:
        InputError: a key has a wrong value, or must not be corrected.
    """
    overrides = tuple(options.set)
    if options.config:
        return corrections.corrections_by_file(run, options.config, overrides)
    return corrections.corrections_by_key(run, overrides) if overrides else ()


def _report_corrections(
    run: Run, options: argparse.Namespace, changes: tuple[Change, ...], say: Say
) -> None:
    for change in describe_changes(changes):
        say(f"{'would correct' if options.dry_run else 'corrected'} {change}")
    if not changes and (options.config or options.set):
        say(f"run {run.run_id} has these settings already; nothing to correct")


def _check_resources(
    run: Run, executor: Executor, override: ResourceRequest, caretaker: bool, say: Say
) -> None:
    resources = run.cluster.resources
    first = first_request(resources)
    request = ResourceRequest(
        mem_gb=override.mem_gb or first.mem_gb, time_min=override.time_min or first.time_min
    )
    cluster = replace(run.cluster, resources=apply_request(resources, request))
    check_resources(executor, cluster, source="resubmit", caretaker=caretaker, say=say)


def _slurm_time(text: str) -> int:
    try:
        return parse_slurm_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
