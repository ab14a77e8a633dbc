"""Run `hpc resubmit`: failed shards again, at the same array indices, perhaps corrected."""

import argparse

from hpc.api.call.choose_run import find_run
from hpc.api.call.place import Place
from hpc.api.resubmission import ResubmitSettings, resubmit
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_run
from hpc.config import run_config
from hpc.database.gathered_shards import is_gathered
from hpc.display.console import Printer
from hpc.display.next_step import command, describe_caretaken, describe_next_step
from hpc.display.run.amendments import changes_document
from hpc.display.run.run_summary import show_status
from hpc.overview import other_runs
from hpc.run.array_indices import parse_indices
from hpc.run.cluster.slurm_time import parse_slurm_time
from hpc.run.model.run import Run
from hpc.run.run_state import RunState
from hpc.runs import find_runs
from pipeline.archive import is_archived
from pipeline.errors import InputError

_LAYOUT = "storage.layout"


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
    parser.add_argument("--indices", help="resubmit these shards only, such as 3,7-9")
    parser.add_argument(
        "--force",
        action="store_true",
        help="also resubmit blocked shards that have ended, after waiting for late files",
    )
    parser.add_argument(
        "--mem-gb",
        type=cli.above_zero,
        help="request this much memory (GiB), in place of the remedy",
    )
    time = parser.add_mutually_exclusive_group()
    time.add_argument(
        "--time",
        dest="time_min",
        type=_slurm_time,
        metavar="TIME",
        help="request this time limit, such as 4:00:00, in place of the remedy",
    )
    time.add_argument(
        "--time-min",
        type=cli.at_least(1),
        metavar="N",
        help="request this many minutes, in place of the remedy",
    )
    parser.add_argument(
        "--caretaker", action="store_true", help="add a Slurm job that supervises from now on"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be submitted, and submit nothing"
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Correct a run and resubmit shards. If tasks end with this process, wait for their end."""
    settings = ResubmitSettings(
        indices=_indices(options.indices),
        force=options.force,
        mem_gb=options.mem_gb,
        time=options.time_min,
        config=options.config,
        overrides=options.set,
        caretaker=options.caretaker,
        dry_run=options.dry_run,
    )
    run = _find_run(options)
    if settings.indices and is_archived(run.folder):
        unpack = command("clean", run, "--restore")
        raise InputError(
            f"run {run.run_id} is archived: to label a shard again, first run {unpack}"
        )
    result = resubmit(run, settings=settings, say=printer)
    is_moved = not settings.dry_run and any(change.key == _LAYOUT for change in result.changes)
    gathered = is_gathered(result.run, result.look.observation)
    if result.has_ended:
        show_status(result.look, printer, is_gathered=gathered)
    elif result.has_caretaker and (result.shards or result.look.is_under_way):
        printer(describe_caretaken(result.run))
    elif not result.shards:
        if not (is_moved and gathered and result.look.state is RunState.COMPLETE):
            printer(describe_next_step(result.look, is_gathered=gathered))
        # The newest run may not be the one that the person has in mind.
        others = () if options.run or options.config else other_runs.find_other_runs(result.look)
        for line in other_runs.describe_other_runs(others, run.folder.parent):
            printer(line)
    if is_moved:
        printer("labels that were gathered before keep their old layout until a rebuild")
        printer(f"next: {command('gather', result.run, '--rebuild')}")
    document = {
        "run_id": result.run.run_id,
        "shards": list(result.shards),
        "array_jobs": list(result.array_jobs),
        "changes": changes_document(result.changes),
    }
    return result.exit_code, document


def _find_run(options: argparse.Namespace) -> Run:
    """Return the run that the arguments name; with only a configuration, its newest run."""
    if options.config is None or options.run:
        return chosen_run(options)
    name = run_config.load_name(options.config)
    root = run_config.load_storage(options.config).run_root
    runs = find_runs.load_named(root, name)
    if not runs:
        raise InputError(f"{options.config}: there is no run under the name {name} in {root}")
    return find_run(runs[-1], at=Place(database=options.database))


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


VERB = Verb(
    name="resubmit",
    example="hpc resubmit --dry-run",
    arguments=arguments,
    act=act,
    if_interrupted="nothing was submitted. To start again, run the same command",
)

if __name__ == "__main__":
    cli.main(VERB)
