"""`python -m hpc.logs`: how a shard's tasks ended, and the end of their logs."""

import argparse
from typing import Any

from hpc import cli
from hpc.executors.base import Executor
from hpc.executors.factory import executor_of
from hpc.reconcile.look import look
from hpc.report import attempts
from hpc.run.array_indices import format_indices, parse_indices
from hpc.run.model import Run
from hpc.run.run_state import RunStatus
from hpc.verb import Verb, chosen_run
from pipeline.errors import InputError

LINES = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "hpc logs [-h] [--failed] [--lines N] [--run RUN] "
        "[--config FILE | --run-root FOLDER] [--json] [--debug] [RUN] INDEX"
    )
    parser.add_argument(
        "words", nargs="*", metavar="[RUN] INDEX",
        help="shards, such as 7 or 3,7-9; before them a run's id or folder, else the newest run",
    )  # fmt: skip
    parser.add_argument("--run", help="a run's id or folder, as before INDEX")
    parser.add_argument(
        "--failed",
        action="store_true",
        help="every failed or blocked shard, its last attempt; those alike are shown once",
    )
    parser.add_argument("--lines", type=_count, default=LINES, metavar="N", help="at most so many")
    cli.root_arguments(parser)


def act(given: argparse.Namespace, say: Any) -> tuple[int, dict[str, Any]]:
    given.run, wanted = _chosen(given)
    run = chosen_run(given)
    # The former attempts of a shard that is done are asked for only where it is wanted by name.
    executor = executor_of(run)
    now = look(run, executor, include_done=not given.failed)
    groups = attempts.unfinished_shards(now) if wanted is None else _each(run, wanted)
    if not given.json:
        _tell(executor, now, groups, given, say)
        return 0, {}
    shards = sorted(index for group in groups for index in group)
    told = [
        attempts.document(now, executor, index, given.lines, last_only=given.failed)
        for index in shards
    ]
    return 0, {"run_id": run.run_id, "shards": told}


def _tell(
    executor: Executor,
    now: RunStatus,
    groups: list[tuple[int, ...]],
    given: argparse.Namespace,
    say: Any,
) -> None:
    if not groups:
        say(f"no shard of run {now.run.run_id} is failed or blocked")
    for at, group in enumerate(groups):
        if at:
            say("")
        for line in attempts.lines(now, executor, group[0], given.lines, last_only=given.failed):
            say(line)
        if group[1:]:
            say(f"\n{attempts.group_identical(group)}")


def _chosen(given: argparse.Namespace) -> tuple[str | None, tuple[int, ...] | None]:
    """The run, and the shards where they are named. Raises InputError."""
    words = list(given.words)
    indices = None if given.failed or not words else words.pop()
    if indices is None and not given.failed:
        raise InputError("which shards? python -m hpc.logs 7, or 3,7-9, or --failed")
    if len(words) > 1 or (words and given.run):
        raise InputError(
            f"one run and one list of shards, please: python -m hpc.logs [RUN] 3,7-9, "
            f"not {' '.join(given.words)}"
        )
    run = words[0] if words else given.run
    if indices is None:
        return run, None
    try:
        return run, parse_indices(indices)
    except ValueError as error:
        raise InputError(f"INDEX: {error}") from None


def _each(run: Run, wanted: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Raises InputError for a shard that the run does not have."""
    count = len(run.manifest.shards)
    if outside := [index for index in wanted if index >= count]:
        raise InputError(
            f"there is no shard {format_indices(outside)}: this run has shards 0-{count - 1}"
        )
    return [(index,) for index in wanted]


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines")
    return int(text)


VERB = Verb(name="logs", example="hpc logs 3,7-9", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
