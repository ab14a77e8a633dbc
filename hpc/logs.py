"""Run `hpc logs`: how a shard's tasks ended, and the end of their logs."""

import argparse

from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_run
from hpc.display.attempts import AttemptReport, unfinished_shards
from hpc.display.blocks import Line
from hpc.display.console import Printer
from hpc.display.screen import awaiting_answer
from hpc.executors.factory import executor_of
from hpc.reconcile.look import look
from hpc.run.array_indices import format_indices, parse_indices
from hpc.run.model import Run
from pipeline.errors import InputError

LINES = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc logs`."""
    parser.usage = (
        "hpc logs [-h] [--failed] [--lines N] [--run RUN] "
        "[--config FILE | --run-root FOLDER] [--json] [--debug] [RUN] INDEX"
    )
    parser.add_argument(
        "words", nargs="*", metavar="[RUN] INDEX",
        help="shards, such as 7 or 3,7-9, after a run's id or folder (default: the newest run)",
    )  # fmt: skip
    parser.add_argument("--run", metavar="RUN", help="a run's id or folder, instead of the first")
    parser.add_argument(
        "--failed",
        action="store_true",
        help="the last attempt of every shard where it failed; identical failures are grouped",
    )
    parser.add_argument(
        "--lines",
        type=cli.at_least(1),
        default=LINES,
        metavar="N",
        help=f"show at most N lines of a log or traceback (default: {LINES})",
    )
    cli.root_arguments(parser)


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Show the attempts of shards, or of all shards that failed or are blocked."""
    options.run, wanted = _read_words(options)
    run = chosen_run(options)
    # The earlier attempts of shards that are done are looked up only if a shard is named.
    executor = executor_of(run)
    with awaiting_answer(executor, printer):
        status = look(run, executor, include_done=not options.failed)
    groups = unfinished_shards(status) if wanted is None else _one_group_each(run, wanted)
    report = AttemptReport(
        status=status, executor=executor, most_lines=options.lines, last_only=options.failed
    )
    if options.json:
        indices = sorted(index for group in groups for index in group)
        return 0, {"run_id": run.run_id, "shards": [report.document(index) for index in indices]}
    if not groups:
        printer(f"run {run.run_id} has no failed or blocked shards")
    for number, group in enumerate(groups):
        printer.show(*([Line("")] if number else []), *report.describe(group))
    return 0, {}


def _read_words(options: argparse.Namespace) -> tuple[str | None, tuple[int, ...] | None]:
    """Return the run and the shards that are named, None where one of them is not."""
    words = list(options.words)
    indices = None if options.failed or not words else words.pop()
    if indices is None and not options.failed:
        raise InputError("name the shards, such as: hpc logs 7, hpc logs 3,7-9, hpc logs --failed")
    if len(words) > 1 or (words and options.run):
        raise InputError(
            "expected one run and one list of shards, as in hpc logs [RUN] 3,7-9, "
            f"not {' '.join(options.words)}"
        )
    run = words[0] if words else options.run
    if indices is None:
        return run, None
    try:
        return run, parse_indices(indices)
    except ValueError as error:
        raise InputError(f"INDEX: {error}") from None


def _one_group_each(run: Run, wanted: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return a group for each shard. Raises InputError for a shard that the run does not have."""
    count = len(run.manifest.shards)
    if outside := [index for index in wanted if index >= count]:
        raise InputError(
            f"there is no shard {format_indices(outside)}: this run has shards 0-{count - 1}"
        )
    return [(index,) for index in wanted]


VERB = Verb(
    name="logs",
    example="hpc logs 3,7-9",
    arguments=arguments,
    act=act,
    if_interrupted="nothing was changed",
)

if __name__ == "__main__":
    cli.main(VERB)
