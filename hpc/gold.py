"""Run `hpc gold`: import what people coded, as labels of a name of their own."""

import argparse
from dataclasses import asdict
from pathlib import Path

from hpc.api.coding import GoldSettings, gold
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_place
from hpc.display.console import Printer


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
    done = gold(
        options.files, options.name, settings=settings, at=chosen_place(options), say=printer
    )
    printer(f"next: hpc compare {done.sampled_name} --gold {done.name}")
    return done.exit_code, {
        "run_id": done.run.run_id,
        "run_dir": str(done.run.folder),
        "is_new": done.is_new,
        "name": done.name,
        "sample": done.sample,
        "posts": done.posts,
        "coded": done.coded,
        "uncoded": dict(done.uncoded),
        "coders": list(done.coders),
        "agreement": [asdict(each) for each in done.agreement],
        "disagreements": [asdict(each) for each in done.disagreements],
        "undecided": len(done.undecided),
        "gathered": done.is_gathered,
    }


VERB = Verb(
    name="gold",
    example="hpc gold coding.csv --as gold_anna --coder anna",
    arguments=arguments,
    act=act,
    if_interrupted="the same command completes the import, and imports nothing twice",
)

if __name__ == "__main__":
    cli.main(VERB)
