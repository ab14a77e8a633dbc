"""Run `hpc gold`: import what people coded, as labels of a name of their own."""

import argparse
import shlex
from dataclasses import asdict
from pathlib import Path

from hpc.api.analysis.coding import GoldResult, GoldSettings, gold
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_place
from hpc.display.console import Printer

_MOST_PAIRS = 8


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc gold`."""
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="coded files: .csv, or .json as Label Studio exports it (JSON or JSON-MIN)",
    )
    parser.add_argument(
        "--as",
        dest="name",
        required=True,
        metavar="NAME",
        help="the name of the codings, such as gold_anna; their table is labels_NAME",
    )
    parser.add_argument(
        "--sample",
        default="",
        metavar="SAMPLE",
        help="the sample that was coded (default: the only one that has all the posts)",
    )
    parser.add_argument(
        "--coder",
        action="append",
        default=[],
        metavar="CODER",
        help="who coded a FILE; repeat it for each FILE (default: its column coder, or its name)",
    )
    parser.add_argument(
        "--resolve",
        default="",
        metavar="majority|first|FILE",
        help="where coders disagree: use the value of most coders (for numbers, the mean), of the "
        "first FILE, or of a file of decisions",
    )
    parser.add_argument(
        "--supersede",
        action="store_true",
        help="replace what was imported under NAME before; the old codings are kept",
    )
    parser.add_argument(
        "--database", type=Path, metavar="FILE", help="use this database instead of labels.duckdb"
    )
    cli.root_arguments(parser, "use this configuration's database and run root")


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Import codings, and gather them."""
    settings = GoldSettings(
        sample=options.sample,
        coders=options.coder,
        resolve=options.resolve,
        supersede=options.supersede,
    )
    result = gold(
        options.files, options.name, settings=settings, at=chosen_place(options), say=printer
    )
    for line in _next_steps(result, options):
        printer(line)
    return result.exit_code, {
        "run_id": result.run.run_id,
        "run_dir": str(result.run.folder),
        "is_new": result.is_new,
        "name": result.name,
        "sample": result.sample,
        "posts": result.posts,
        "coded": result.coded,
        "uncoded": dict(result.uncoded),
        "coders": list(result.coders),
        "agreement": [asdict(each) for each in result.agreement],
        "disagreements": [asdict(each) for each in result.disagreements],
        "undecided": len(result.undecided),
        "maps": list(result.pairing.pairs),
        "gathered": result.is_gathered,
    }


def _next_steps(result: GoldResult, options: argparse.Namespace) -> list[str]:
    """Return the command that compares the codings with the labels, and how to pair columns."""
    hint, words = result.pairing, f"hpc compare {result.sampled_name} --gold {result.name}"
    if hint.is_needed and not hint.pairs:
        return [f"no column of {result.sampled_name} can be compared with one of {result.name}"]
    if options.database:
        words += f" --database {shlex.quote(str(options.database))}"
    elif options.config:
        words += f" --config {shlex.quote(str(options.config))}"
    if not hint.is_needed:
        return [f"next: {words}"]
    if len(hint.pairs) == 1:
        return [f"next: {words} --map {shlex.quote(hint.pairs[0])}"]
    more = len(hint.pairs) - _MOST_PAIRS
    rest = f" and {more:,} more" if more > 0 else ""
    return [
        f"next: {words} --map a=b",
        f"  a=b is a column of {result.sampled_name} and one of {result.name}, such as "
        f"{', '.join(hint.pairs[:_MOST_PAIRS])}{rest}",
    ]


VERB = Verb(
    name="gold",
    example="hpc gold coding.csv --as gold_anna --coder anna",
    arguments=arguments,
    act=act,
    if_interrupted="the same command completes the import, and imports nothing twice",
)

if __name__ == "__main__":
    cli.main(VERB)
