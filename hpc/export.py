"""Run `hpc export`: write the labels of a name to a file for R, pandas and polars."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.config import run_config
from hpc.config.corrections import recorded_backlog
from hpc.database.export_target import (
    KnownBacklog,
    backlogs_of,
    check_not_posts,
    check_target,
)
from hpc.database.published_labels import published_labels
from hpc.display.console import Printer
from hpc.labels.hand_over import HandOverRequest, Purpose, describe, hand_over
from hpc.labels.label_place import LabelPlace, find_place
from hpc.run.exit_codes import FAILED
from hpc.run.model import Run
from pipeline.backlog.sources import Source, find_source
from pipeline.database import duckdb_file, export_labels, mapped_labels
from pipeline.database.duckdb_file import SHORT_PATIENCE
from pipeline.database.export_labels import ExportRequest
from pipeline.errors import InputError, RunError
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
    export_labels.format_of(options.to)
    target = options.to.expanduser().absolute()
    check_target(target, replaces=options.force)
    place = find_place(options.config, options.run_root, options.database)
    mapped = place.mapped
    name = place.choose_name(options.name, options.config, also=mapped)
    origin = mapped.get(name, name)
    if options.purpose:
        if name in mapped:
            raise InputError(f"--for {options.purpose}: {name} are mapped labels; name {origin}")
        return _hand_over(options, place, name, printer)
    if options.gold or options.map:
        raise InputError("--gold and --map are for estimators: add --for dsl or --for ppi")
    columns = _names(options.columns)
    check_not_posts(target, columns, _known_backlogs(options, place))
    runs = place.trusted_runs(origin, printer)
    request = ExportRequest(
        name=name,
        columns=columns,
        where=options.where,
        labeled_only=options.labeled_only,
        source=_find_source(options, place, runs) if options.join else None,
        source_columns=_names(options.join),
    )
    with published_labels(place.database, origin, runs, target.parent) as labels:
        if name in mapped:
            _check_mapped(labels.database, name)
        exported = export_labels.export(labels.database, request, target)
    for problem in labels.problems:
        printer(problem)
    _report(exported, target, printer)
    if exported.not_in_source:
        printer(
            f"{counted(exported.not_in_source, 'post')} of {name} are not in {request.source} now: "
            "the joined columns are null there"
        )
    if place.content.held:
        printer(
            f"{place.content.held}, so the rows are those of {counted(len(runs), 'run')} under "
            f"{place.run_root}. Labels of runs whose folders are gone are not among them"
        )
    elif labels.shards:
        printer(
            f"{counted(labels.posts, 'post')} of {counted(labels.shards, 'shard')} are not in "
            f"{place.database} yet, and were read from their runs. To gather them: hpc gather"
        )
    document = {
        "name": name,
        "file": str(target),
        "rows": exported.rows,
        "labeled": exported.labeled,
        "unlabelable": exported.rows - exported.labeled,
        "columns": list(exported.columns),
        "database": str(place.database),
        "database_in_use": bool(place.content.held),
        "posts_not_gathered": labels.posts,
        "posts_not_in_source": exported.not_in_source,
        "left_out": list(labels.problems),
    }
    return FAILED if labels.problems else 0, document


def _hand_over(
    options: argparse.Namespace, place: LabelPlace, name: str, printer: Printer
) -> Outcome:
    """Write the table that an estimator takes."""
    if not options.gold:
        raise InputError(f"--for {options.purpose}: name the human labels with --gold NAME")
    if options.where or options.labeled_only:
        raise InputError(
            f"--for {options.purpose}: the table has to have all posts that could have been drawn, "
            "so --where and --labeled-only are not possible; choose rows in the analysis"
        )
    target = options.to.expanduser().absolute()
    check_not_posts(target, ("uri",), _known_backlogs(options, place))
    request = HandOverRequest(
        purpose=Purpose(options.purpose),
        name=name,
        gold=options.gold,
        mappings=tuple(options.map),
        covariates=_names(options.columns) or ("preprocessing_timestamp",),
        source=_find_source(options, place, place.trusted_runs(name, printer))
        if options.join
        else None,
        source_columns=_names(options.join),
    )
    handed = hand_over(place, request, target, printer)
    for line in (*handed.problems, *describe(handed, name, target)):
        printer(line)
    document = {
        "name": name,
        "gold": options.gold,
        "for": options.purpose,
        "file": str(target),
        "rows": handed.table.rows,
        "labeled": handed.table.coded_posts,
        "coded_texts": handed.table.coded_texts,
        "not_coded": handed.table.not_coded,
        "without_prediction": handed.table.without_prediction,
        "labeled_later": handed.later,
        "posts_not_in_source": handed.table.not_in_source,
        "sample": handed.sample,
        "labels": list(handed.table.labels),
        "columns": list(handed.table.columns),
        "database": str(place.database),
        "left_out": list(handed.problems),
    }
    return FAILED if handed.problems else 0, document


def _check_mapped(database: Path, name: str) -> None:
    """Raise RunError if a database does not show mapped labels yet."""
    with duckdb_file.opened(database, read_only=True, patience=SHORT_PATIENCE) as connection:
        if not mapped_labels.is_shown(connection, name):
            raise RunError(f"{database} does not show the labels {name} yet. Run: hpc gather")


def _names(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas."""
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _find_source(options: argparse.Namespace, place: LabelPlace, runs: Sequence[Run]) -> Source:
    """Return the source of the configuration, or else that of the newest run."""
    if options.config:
        known = _configured_backlog(options.config)
        return find_source(known.backlog, known.folders, database=place.database)
    recorded = recorded_backlog(runs[-1]) if runs else None
    if recorded is None:
        raise InputError(
            "--join: the source is not known here. Name its configuration with --config FILE"
        )
    try:
        # A run does not record the folder of its configuration, which the path may start from.
        return find_source(recorded, (place.run_root.parent, Path.cwd()), database=place.database)
    except InputError as error:
        raise InputError(f"{error}\nName the configuration with --config FILE") from None


def _configured_backlog(config: Path) -> KnownBacklog:
    folders = (config.parent.absolute(), Path.cwd())
    return KnownBacklog(backlog=run_config.load_backlog(config), folders=folders)


def _known_backlogs(options: argparse.Namespace, place: LabelPlace) -> Iterator[KnownBacklog]:
    """Yield where the posts of all names are, as far as configurations say it."""
    if options.config:
        yield _configured_backlog(options.config)
    yield from backlogs_of(place.runs, (place.run_root.parent, Path.cwd()))


def _report(exported: export_labels.Exported, target: Path, printer: Printer) -> None:
    unlabelable = exported.rows - exported.labeled
    rest = f", {unlabelable:,} without, each with its reason" if unlabelable else ""
    printer(
        f"wrote {target}: {counted(exported.rows, 'row')}, {exported.labeled:,} with labels{rest}"
    )
    if exported.with_nul and target.name.lower().endswith((".csv", ".csv.gz")):
        printer(
            f"texts with the character NUL, at which R cuts a text: {exported.with_nul:,}. Use "
            "skipNul = TRUE in read.csv, or export to .parquet"
        )


VERB = Verb(
    name="export",
    example="hpc export perspective --to labels.parquet",
    arguments=arguments,
    act=act,
)

if __name__ == "__main__":
    cli.main(VERB)
