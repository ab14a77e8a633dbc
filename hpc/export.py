"""Run `hpc export`: write the labels of a name to a file for R, pandas and polars."""

import argparse
from pathlib import Path

from hpc.api.analysis.label_table import ExportResult, LabelQuery, export
from hpc.api.estimation.estimator_table import EstimatorQuery, export_for_estimator
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_place
from hpc.display.console import Printer
from hpc.labels.hand_over import Purpose
from hpc.runs.missing_posts import describe_missing
from pipeline.errors import InputError
from pipeline.text import counted


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc export`."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a name of labels (default: the configuration's)"
    )
    parser.add_argument(
        "--to",
        type=Path,
        required=True,
        metavar="FILE",
        help="the file to write; its name ends in .parquet, .csv or .jsonl, or the latter two .gz",
    )
    parser.add_argument(
        "--where",
        default="",
        metavar="SQL",
        help='only rows that meet this condition, such as "prob_toxic > 0.5"',
    )
    parser.add_argument(
        "--columns", default="", metavar="A,B", help="only these columns, in this order"
    )
    parser.add_argument(
        "--join",
        default="",
        metavar="A,B",
        help="add these columns of the source, joined by uri",
    )
    parser.add_argument(
        "--labeled-only", action="store_true", help="leave out posts that have no labels"
    )
    parser.add_argument(
        "--for",
        dest="purpose",
        choices=tuple(map(str, Purpose)),
        default="",
        help="write the table that an estimator needs: R's dsl or ppi-python",
    )
    parser.add_argument(
        "--gold", default="", metavar="NAME", help="with --for: the name of the human labels"
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="a=b",
        help="with --for: column a predicts column b of the human labels; repeatable",
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    parser.add_argument(
        "--database", type=Path, metavar="FILE", help="use this database instead of labels.duckdb"
    )
    cli.root_arguments(parser, "use this configuration's name, database and run root")


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Export the labels of a name."""
    if options.purpose:
        return _hand_over(options, printer)
    if options.gold or options.map:
        raise InputError("--gold and --map are for estimators: add --for dsl or --for ppi")
    query = LabelQuery(
        columns=_names(options.columns),
        where=options.where,
        with_source=_names(options.join),
        labeled_only=options.labeled_only,
    )
    result = export(
        options.name,
        options.to,
        query=query,
        replace=options.force,
        at=chosen_place(options),
        say=printer,
    )
    for line in _describe(result):
        printer(line)
    document = {
        "name": result.name,
        "file": str(result.file),
        "rows": result.rows,
        "labeled": result.labeled,
        "unlabelable": result.rows - result.labeled,
        "columns": list(result.columns),
        "database": str(result.database),
        "database_in_use": bool(result.database_in_use),
        "posts_not_gathered": result.posts_not_gathered,
        "posts_missing": result.posts_missing,
        "posts_not_in_source": result.exported.not_in_source,
        "left_out": list(result.left_out),
    }
    return result.exit_code, document


def _hand_over(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Write the table that an estimator takes."""
    if options.where or options.labeled_only:
        raise InputError(
            f"--for {options.purpose}: the table has to have all posts that could have been drawn, "
            "so --where and --labeled-only are not possible; choose rows in the analysis"
        )
    result = export_for_estimator(
        options.name,
        options.to,
        EstimatorQuery(
            purpose=options.purpose,
            gold=options.gold,
            maps=options.map,
            columns=_names(options.columns),
            with_source=_names(options.join),
        ),
        replace=options.force,
        at=chosen_place(options),
        say=printer,
    )
    table = result.handed.table
    return result.exit_code, {
        "name": result.name,
        "gold": options.gold,
        "for": options.purpose,
        "file": str(result.file),
        "rows": result.rows,
        "labeled": result.labeled,
        "coded_texts": table.coded_texts,
        "not_coded": table.not_coded,
        "without_prediction": table.without_prediction,
        "labeled_later": result.handed.later,
        "posts_missing": result.handed.posts_missing,
        "posts_not_in_source": table.not_in_source,
        "sample": result.sample,
        "labels": list(result.labels),
        "columns": list(result.columns),
        "database": str(result.database),
        "left_out": list(result.left_out),
    }


def _names(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas."""
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _describe(result: ExportResult) -> list[str]:
    """Return what a person should know about a file of labels."""
    unlabelable = result.rows - result.labeled
    rest = f", {unlabelable:,} without, each with its reason" if unlabelable else ""
    lines = [
        f"wrote {result.file}: {counted(result.rows, 'row')}, {result.labeled:,} with labels{rest}"
    ]
    if result.exported.with_nul and result.file.name.lower().endswith((".csv", ".csv.gz")):
        lines.append(
            f"texts with the character NUL, at which R cuts a text: {result.exported.with_nul:,}. "
            "Use skipNul = TRUE in read.csv, or export to .parquet"
        )
    if result.exported.not_in_source:
        lines.append(
            f"{counted(result.exported.not_in_source, 'post')} of {result.name} are not in "
            f"{result.source} now: the joined columns are null there"
        )
    if result.database_in_use:
        lines.append(
            f"{result.database_in_use}, so the rows are those of "
            f"{counted(len(result.runs), 'run')} under {result.run_root}. Labels of runs "
            "whose folders are gone are not among them"
        )
    elif result.shards_not_gathered:
        lines.append(
            f"{counted(result.posts_not_gathered, 'post')} of "
            f"{counted(result.shards_not_gathered, 'shard')} are not in {result.database} yet, and "
            "were read from their runs. To gather them: hpc gather"
        )
    if result.posts_missing:
        lines.append(
            describe_missing(result.name, result.posts_missing, f"cannot be in {result.file.name}")
        )
    return lines


VERB = Verb(
    name="export",
    example="hpc export perspective --to labels.parquet",
    arguments=arguments,
    act=act,
    if_interrupted="no partial file was written. Run the same command again",
)

if __name__ == "__main__":
    cli.main(VERB)
