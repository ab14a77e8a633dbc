"""Run `hpc compare`: how well two names agree, or how well names match human gold."""

import argparse
from pathlib import Path
from typing import Any

from hpc.api.analysis.comparing import CompareSettings, compare
from hpc.api.call.caller_screen import CallerScreen
from hpc.api.call.place import Place
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.comparison.compared import Compared
from hpc.comparison.gold import gold_document
from hpc.comparison.names import map_document, names_document
from hpc.display.comparison.gold import GoldReport
from hpc.display.console import Printer
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
        "--database", type=Path, metavar="FILE", help="use this database (default: labels.duckdb)"
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
        help="calibration bins of the same width (default), or with equal numbers of posts",
    )
    parser.add_argument(
        "--resamples",
        type=cli.at_least(1),
        default=1000,
        metavar="N",
        help="how many bootstrap resamples to draw (default: 1000)",
    )
    parser.add_argument(
        "--seed",
        type=cli.at_least(0),
        default=0,
        metavar="N",
        help="the seed of the bootstrap (default: 0)",
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Compare the label columns of two names, or of names and gold."""
    names = (options.a,) if options.b is None else (options.a, options.b)
    if options.gold is None and len(names) == 1:
        raise InputError(
            "compare needs two names, or a name and human labels: "
            f"hpc compare {options.a} NAME_B, or hpc compare {options.a} --gold NAME"
        )
    settings = CompareSettings(
        sample=options.sample,
        maps=tuple(options.map),
        save_map=options.save_map,
        figures=options.figures,
        threshold=options.threshold,
        bins=options.bins,
        resamples=options.resamples,
        seed=options.seed,
    )
    result = compare(
        *names,
        gold=options.gold,
        settings=settings,
        at=Place(config=options.config, database=options.database),
        say=CallerScreen(printer, with_reports=False) if options.json else printer,
    )
    return result.exit_code, _document(result.compared)


def _document(compared: Compared) -> dict[str, Any]:
    report, saved = compared.report, compared.saved_map
    if isinstance(report, GoldReport):
        document = gold_document(report)
    else:
        document = {**names_document(report), "map": map_document(saved) if saved else None}
    return {
        **document,
        "bins": compared.bins,
        "figures": [str(path) for path in compared.figures],
        "unusable_runs": [str(folder) for folder in compared.unusable_runs],
    }


VERB = Verb(
    name="compare",
    example="hpc compare perspective llm_toxicity --map prob_toxic=toxicity",
    arguments=arguments,
    act=act,
    if_interrupted="no label was changed. To compare again, run the same command",
)

if __name__ == "__main__":
    cli.main(VERB)
