"""Run `hpc logs`: how a shard's tasks ended, and the end of their logs."""

import argparse
import shlex
from collections.abc import Sequence

from hpc.api.attempts import LINES, logs
from hpc.api.call.place import Place
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_place
from hpc.display.console import Printer
from hpc.naming.run_ids import parse_run_id
from hpc.overview.list_runs import list_folders
from hpc.overview.run_row import is_meant
from hpc.run.array_indices import parse_indices
from pipeline.errors import InputError

# What is shorter is a shard: all ids begin with the same digits.
_LEAST_OF_ID = 4


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
        help="show the last attempt of every shard where it failed, and identical failures once",
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
    place = chosen_place(options)
    try:
        options.run, wanted = _read_words(options, place)
        result = logs(options.run, wanted, lines=options.lines, at=place, say=printer)
    except InputError as error:
        raise InputError(f"{error}{_describe_run(options.words, place)}") from None
    if not options.json:
        printer.show(*result.describe())
        return 0, {}
    indices = sorted(index for group in result.groups for index in group)
    shards = [result.report.document(index) for index in indices]
    return 0, {"run_id": result.run.run_id, "shards": shards}


def _read_words(
    options: argparse.Namespace, place: Place
) -> tuple[str | None, tuple[int, ...] | None]:
    """Return the run and the shards that are named, None where one of them is not."""
    words = list(options.words)
    if not options.failed and _are_shards(words, place):
        words = [",".join(words)]
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


def _are_shards(words: Sequence[str], place: Place) -> bool:
    """Tell whether all words are shards, as in `hpc logs 2 3`, and the first is no run."""
    if len(words) < 2 or not all(map(_is_shards, words)):
        return False
    first = words[0]
    if first.isdecimal() and len(first) >= _LEAST_OF_ID:
        return False
    names = (folder.rpartition("/")[2] for folder in list_folders(place.find_run_root()))
    return not any(run_id and run_id.name == first for run_id in map(parse_run_id, names))


def _is_shards(word: str) -> bool:
    try:
        return bool(parse_indices(word))
    except ValueError:
        return False


def _describe_run(words: Sequence[str], place: Place) -> str:
    """Return how to name the shards of a run, if a single word that is no shard means a run."""
    if len(words) != 1 or len(words[0]) < _LEAST_OF_ID:
        return ""
    (word,) = words
    if not any(is_meant(folder, word) for folder in list_folders(place.find_run_root())):
        return ""
    run = shlex.quote(word)
    return (
        f". If {word} means a run, also name its shards: hpc logs {run} 0, "
        f"or hpc logs {run} --failed"
    )


VERB = Verb(
    name="logs",
    example="hpc logs 3,7-9",
    arguments=arguments,
    act=act,
    if_interrupted="nothing was changed",
)

if __name__ == "__main__":
    cli.main(VERB)
