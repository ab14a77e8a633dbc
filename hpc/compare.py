"""Run `hpc compare`: how far two names agree, or how well names match human gold."""

import argparse
from pathlib import Path

from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.comparison.gold import compare_with_gold
from hpc.comparison.names import compare_names
from hpc.comparison.request import Request
from hpc.config import run_config
from hpc.display.console import Printer
from pipeline.analysis.options import BootstrapDraws, CompareOptions
from pipeline.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc compare`."""
    parser.add_argument("a", metavar="NAME_A", help="a name of labels in the database")
    parser.add_argument("b", nargs="?", metavar="NAME_B", help="another name")
    parser.add_argument(
        "--gold",
        metavar="NAME",
        help="compare with these human labels, instead of the names with each other",
    )
    parser.add_argument(
        "--sample",
        metavar="SAMPLE",
        help="weight by this sample (default: the one that was coded, or that NAME_B labeled)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--config", type=Path, metavar="FILE", help="use this configuration's database"
    )
    where.add_argument(
        "--database", type=Path, metavar="FILE", help="use this one (default: labels.duckdb)"
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="a=b",
        help="also compare column a of the first name with column b of the second, or of gold; "
        "repeatable",
    )
    parser.add_argument(
        "--save-map",
        action="store_true",
        help="fit and save a map from NAME_B's scores to NAME_A's, shown as NAME_B_as_NAME_A",
    )
    parser.add_argument(
        "--figures",
        type=Path,
        metavar="FOLDER",
        help="draw calibration and agreement by month into this folder, as SVG and PNG",
    )
    parser.add_argument(
        "--threshold",
        type=cli.finite_number,
        metavar="NUMBER",
        help="numbers at or above it are positive (default: 0.5 if all are between 0 and 1)",
    )
    parser.add_argument(
        "--bins",
        choices=("uniform", "quantile"),
        default="uniform",
        help="bins of the calibration curve: of the same width (default), or with equal posts",
    )
    parser.add_argument(
        "--resamples",
        type=cli.at_least(1),
        default=1000,
        metavar="N",
        help="bootstrap resamples (default: 1000)",
    )
    parser.add_argument(
        "--seed",
        type=cli.at_least(0),
        default=0,
        metavar="N",
        help="seed of the bootstrap (default: 0)",
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Compare the label columns of two names, or of names and gold."""
    names = (options.a,) if options.b is None else (options.a, options.b)
    if options.gold is None and len(names) == 1:
        raise InputError(
            "compare needs two names, or a name and human labels: "
            f"hpc compare {options.a} NAME_B, or hpc compare {options.a} --gold NAME"
        )
    if options.gold in names:
        raise InputError(f"--gold {options.gold}: compare other names with it, not itself")
    if options.save_map and options.gold:
        raise InputError(
            "--save-map is about two names: leave --gold away, which says nothing about the other "
            "posts"
        )
    request = Request(
        database=_database(options),
        names=names,
        gold=options.gold,
        sample=options.sample,
        maps=tuple(options.map),
        run_root=run_config.load_storage(options.config).run_root if options.config else None,
        saves_map=options.save_map,
        figures=options.figures.expanduser().absolute() if options.figures else None,
        settings=CompareOptions(
            threshold=options.threshold,
            bins=options.bins,
            draws=BootstrapDraws(options.resamples, options.seed),
        ),
    )
    compare = compare_with_gold if request.gold else compare_names
    return compare(request, printer, quiet=options.json)


def _database(options: argparse.Namespace) -> Path:
    if options.config:
        database = run_config.load_storage(options.config).database
    else:
        database = (options.database or Path("labels.duckdb")).expanduser().absolute()
    if not database.is_file():
        raise InputError(f"there is no database {database}; name one with --config or --database")
    return database


VERB = Verb(
    name="compare",
    example="hpc compare perspective llm_toxicity --map prob_toxic=toxicity",
    arguments=arguments,
    act=act,
)

if __name__ == "__main__":
    cli.main(VERB)
