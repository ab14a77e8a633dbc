"""Run `hpc export`: write the labels of a name to a file for R, pandas and polars."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc import cli
from hpc.config import run_config
from hpc.config.corrections import recorded_backlog
from hpc.database.export_target import (
    KnownBacklog,
    backlogs_of,
    check_not_posts,
    check_target,
)
from hpc.database.published_labels import DatabaseContent, published_labels, read_content
from hpc.exit_codes import FAILED
from hpc.reconcile.trust import check_run
from hpc.report.console import Printer
from hpc.run import run_folder
from hpc.run.model import Run
from hpc.run.unusable_runs import UnusableRun, find_unusable
from hpc.verb import Outcome, Verb
from pipeline.backlog.sources import Source, find_source
from pipeline.database import export_labels
from pipeline.database.duckdb_file import exists
from pipeline.database.export_labels import ExportRequest
from pipeline.errors import InputError, RunError
from pipeline.text import counted, did_you_mean


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the labels are."""

    database: Path
    run_root: Path
    content: DatabaseContent
    runs: tuple[Run, ...]
    """The runs that write to the database, oldest first."""
    unusable: tuple[UnusableRun, ...]


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
    place = _find_place(options)
    name = _choose_name(options, place)
    columns = _names(options.columns)
    check_not_posts(target, columns, _known_backlogs(options, place))
    runs = _trusted_runs(place, name, printer)
    request = ExportRequest(
        name=name,
        columns=columns,
        where=options.where,
        labeled_only=options.labeled_only,
        source=_find_source(options, place, runs) if options.join else None,
        source_columns=_names(options.join),
    )
    with published_labels(place.database, name, runs, target.parent) as labels:
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


def _names(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas."""
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _find_source(options: argparse.Namespace, place: _Place, runs: Sequence[Run]) -> Source:
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


def _known_backlogs(options: argparse.Namespace, place: _Place) -> Iterator[KnownBacklog]:
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


def _find_place(options: argparse.Namespace) -> _Place:
    root, database = options.run_root or Path("runs"), options.database or Path("labels.duckdb")
    if options.config:
        storage = run_config.load_storage(options.config)
        root, database = storage.run_root, options.database or storage.database
    database = database.expanduser().absolute()
    root = root.expanduser().absolute()
    content = read_content(database)
    runs, unusable = _load_runs(database, (root, *content.run_roots))
    return _Place(database, root, content, tuple(runs), tuple(unusable))


def _choose_name(options: argparse.Namespace, place: _Place) -> str:
    """Return the name to export, which has labels in the database or in a run."""
    names = sorted({*place.content.names, *(run.manifest.name for run in place.runs)})
    name: str | None = options.name
    if name is None and options.config:
        name = run_config.load_name(options.config)
    if name is None and len(names) == 1:
        name = names[0]
    if not names and not exists(place.database):
        raise InputError(
            f"there is no database {place.database}, and no run of it under {place.run_root}; name "
            "them with --config, or with --database and --run-root"
        )
    available = f"{place.database} has labels of: {', '.join(names) or 'no name'}"
    if name is None:
        raise InputError(f"which labels? Put a NAME after export; {available}")
    if name not in names:
        raise InputError(
            f"there are no labels of the name {name!r}{did_you_mean(name, names)}; {available}"
        )
    return name


def _load_runs(database: Path, roots: Iterable[Path]) -> tuple[list[Run], list[UnusableRun]]:
    """Return the runs that write to a database, oldest first, and those that cannot be read."""
    runs: dict[str, Run] = {}
    unusable: list[UnusableRun] = []
    for root in filter(Path.is_dir, sorted(set(roots))):
        unusable += find_unusable(root)
        for folder in run_folder.all_runs(root):
            try:
                run = run_folder.load(folder)
            except (InputError, RunError, OSError) as error:
                unusable.append(UnusableRun(folder, str(error), error))
                continue
            if _is_of(run, database):
                runs[run.run_id] = run
    return sorted(runs.values(), key=lambda run: run.age), unusable


def _trusted_runs(place: _Place, name: str, printer: Printer) -> list[Run]:
    """Return the runs of a name whose outputs count, and say which do not."""
    for each in place.unusable:
        if each.may_be_of(name):
            printer(str(each))
    trusted = []
    for run in place.runs:
        if run.manifest.name != name:
            continue
        try:
            check_run(run)
        except InputError as error:
            printer(f"run {run.run_id} is left out: {error}")
        else:
            trusted.append(run)
    return trusted


def _is_of(run: Run, database: Path) -> bool:
    return Path(run.manifest.database).resolve() == database.resolve()


VERB = Verb(
    name="export",
    example="hpc export perspective --to labels.parquet",
    arguments=arguments,
    act=act,
)

if __name__ == "__main__":
    cli.main(VERB)
