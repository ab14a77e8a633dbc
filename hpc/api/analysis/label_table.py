"""Read the labels of a name as Arrow tables, or write them to a file.

All published labels are read, gathered or not, as `hpc export` does. So it works while a gather
writes, and while a notebook has the database open.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.place import HERE, PathText, Place
from hpc.api.call.surroundings import library_call
from hpc.config import run_config
from hpc.config.recorded_settings import recorded_backlog
from hpc.database.export_target import (
    KnownBacklog,
    backlogs_of,
    check_not_posts,
    export_target,
)
from hpc.database.published_labels import check_has_labels, published_labels
from hpc.display.screen import Screen
from hpc.labels.label_place import LabelPlace, find_place
from hpc.run.exit_codes import FAILED
from hpc.run.model.run import Run, Say
from pipeline.backlog.sources import Source, find_source
from pipeline.database import duckdb_file, export_labels, mapped_labels
from pipeline.database.duckdb_file import SHORT_PATIENCE
from pipeline.database.export_labels import Exported, ExportRequest
from pipeline.errors import InputError, RunError
from pipeline.late_imports import arrow_parquet as pq
from pipeline.messages.options import CONFIG, WITH_SOURCE

ROWS_PER_BATCH = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelQuery:
    """Which labels to read."""

    columns: str | Sequence[str] = ()
    """These columns, in this order; empty for all."""
    where: str = ""
    """Only rows that meet this condition, in SQL; empty for all rows."""
    with_source: str | Sequence[str] = ()
    """Add these columns of the source, joined by uri."""
    labeled_only: bool = False
    """Leave out posts that have no labels."""


ALL_LABELS = LabelQuery()
"""Every column of every row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportResult:
    """What a file of labels holds, and where they came from."""

    name: str
    """The name of the labels."""
    file: Path
    """The file that was written."""
    rows: int
    """How many rows it has, one for each post."""
    labeled: int
    """How many of them have labels; the others have a reason."""
    columns: tuple[str, ...] = field(repr=False)
    """Its columns."""
    database: Path = field(repr=False)
    """The database of the labels."""
    run_root: Path = field(repr=False)
    """The folder of the runs."""
    database_in_use: str = ""
    """Why the database could not be read, so that only the runs' folders were; else empty."""
    posts_not_gathered: int = 0
    """How many posts were read from their runs, because the database does not have them yet."""
    shards_not_gathered: int = field(default=0, repr=False)
    """How many shards these are in."""
    posts_missing: int = 0
    """How many posts of the name's runs have no published result yet."""
    left_out: tuple[str, ...] = ()
    """A message for each output that was left out."""
    exported: Exported = field(repr=False)
    """What was counted beside that."""
    runs: tuple[Run, ...] = field(repr=False)
    """The runs of the name."""
    source: Source | None = field(default=None, repr=False)
    """The source whose columns were joined."""
    exit_code: int = 0
    """What `hpc export` exits with: 0 done, 1 outputs were left out."""


@check_argument_types
def labels(
    name: str | None = None,
    columns: str | Sequence[str] = (),
    where: str = "",
    with_source: str | Sequence[str] = (),
    *,
    at: Place = HERE,
    say: Say | None = None,
) -> pa.Table:
    """Return the published labels of a name, one row for each post.

    Posts that could not be labeled are there too, with a `reason`; `where` can leave them out:
    `where="was_successfully_labeled"`. Times are in UTC. Use `labels_batches` for more rows than
    the memory holds.

    Args:
        name: the name of the labels; None: the only one, or that of the configuration.
        columns: these columns, in this order; empty for all.
        where: a condition on the rows, in SQL; empty for all rows.
        with_source: columns of the source to add, joined by uri, such as `["author"]`.
        at: where the database and the runs are.
        say: receives a message for each run or output that is left out.

    Raises:
        InputError: there are no labels of this name, no such column, or the condition is wrong.
        RunError: the database is damaged, or an output cannot be read.
        OSError: the folder for temporary files (`TMPDIR`) is full.
    """
    query = LabelQuery(columns=columns, where=where, with_source=with_source)
    with library_call(), _parquet_file(name, query, at, screen_of(say)) as path:
        return pq.read_table(path, memory_map=False)


@check_argument_types
def labels_batches(
    name: str | None = None,
    columns: str | Sequence[str] = (),
    where: str = "",
    with_source: str | Sequence[str] = (),
    *,
    at: Place = HERE,
    say: Say | None = None,
) -> pa.RecordBatchReader:
    """Return the published labels of a name, batch by batch, for more rows than fit into memory.

    Arguments and errors are those of `labels`. The rows are those of this moment: they lie in a
    temporary file, which the system removes when the reader is closed. The database is not open
    meanwhile.
    """
    query = LabelQuery(columns=columns, where=where, with_source=with_source)
    with library_call(), _parquet_file(name, query, at, screen_of(say)) as path:
        stream = path.open("rb")  # its content stays until it is closed, without a name
    file = pq.ParquetFile(stream)
    return pa.RecordBatchReader.from_batches(
        file.schema_arrow, file.iter_batches(batch_size=ROWS_PER_BATCH)
    )


@contextmanager
def _parquet_file(name: str | None, query: LabelQuery, at: Place, screen: Screen) -> Iterator[Path]:
    # On NFS, an open file keeps an entry in its folder.
    with tempfile.TemporaryDirectory(prefix="hpc-labels-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "labels.parquet"
        _write(name, path, query, LabelFinder(at), screen)
        yield path


@check_argument_types
def export(
    name: str | None,
    to: PathText,
    *,
    query: LabelQuery = ALL_LABELS,
    replace: bool = False,
    at: Place = HERE,
    say: Say | None = None,
) -> ExportResult:
    """Write the published labels of a name to a file, which appears whole or not at all.

    Args:
        name: the name of the labels; None: the only one, or that of the configuration.
        to: the file, which ends in .parquet, .csv or .jsonl, or the latter two and .gz.
        query: which rows and columns.
        replace: replace the file if it exists.
        at: where the database and the runs are.
        say: receives a message for each run or output that is left out.

    Raises:
        InputError: there are no such labels or columns, the condition is wrong, or the file must
            not be written there.
        RunError: the database is damaged, or an output cannot be read.
        OSError: the disk is full, or the folder is closed to this user.
    """
    screen = screen_of(say)
    target = export_target(to, replaces=replace)
    with library_call():
        finder = LabelFinder(at)
        check_not_posts(target, names_of(query.columns), finder.known_backlogs())
        return _write(name, target, query, finder, screen)


class LabelFinder:
    """Finds the labels of names, and the posts that they are about."""

    def __init__(self, at: Place) -> None:
        """Look where labels and runs are.

        Raises:
            InputError: the configuration cannot be read.
            RunError: the database is damaged, or of another program.
        """
        self._config = at.config_path
        self.place: LabelPlace = find_place(at.config_path, at.run_root_path, at.database_path)

    def choose_name(self, name: str | None) -> str:
        """Return the name that is meant.

        Raises:
            InputError: there is no such name, or nobody can tell which one is meant.
        """
        return self.place.choose_name(name, self._config, also=self.place.mapped)

    def known_backlogs(self) -> Iterator[KnownBacklog]:
        """Yield where the posts of all names are, as far as configurations say it."""
        if self._config:
            yield _configured_backlog(self._config)
        yield from backlogs_of(self.place.runs, (self.place.run_root.parent, Path.cwd()))

    def find_source(self, runs: Sequence[Run]) -> Source:
        """Return the source of the configuration, or else that of the newest run.

        Raises:
            InputError: it is not known, or cannot be read.
        """
        if self._config:
            known = _configured_backlog(self._config)
            return find_source(known.backlog, known.folders, database=self.place.database)
        recorded = recorded_backlog(runs[-1]) if runs else None
        if recorded is None:
            raise InputError(
                f"{WITH_SOURCE}: the source is not known here. Name its configuration with "
                f"{CONFIG.usage('FILE')}"
            )
        # A run does not record the folder of its configuration, which the path may start from.
        folders = (self.place.run_root.parent, Path.cwd())
        try:
            return find_source(recorded, folders, database=self.place.database)
        except InputError as error:
            raise InputError(
                f"{error}\nName the configuration with {CONFIG.usage('FILE')}"
            ) from None


def _configured_backlog(config: Path) -> KnownBacklog:
    folders = (config.parent.absolute(), Path.cwd())
    return KnownBacklog(backlog=run_config.load_backlog(config), folders=folders)


def names_of(columns: str | Sequence[str]) -> tuple[str, ...]:
    """Return names of columns; a single text is the name of one."""
    return (columns,) if isinstance(columns, str) else tuple(columns)


def _write(
    name: str | None, target: Path, query: LabelQuery, finder: LabelFinder, screen: Screen
) -> ExportResult:
    place = finder.place
    chosen = finder.choose_name(name)
    origin = place.mapped.get(chosen, chosen)
    runs = place.trusted_runs(origin, screen)
    joined = names_of(query.with_source)
    request = ExportRequest(
        name=chosen,
        columns=names_of(query.columns),
        where=query.where,
        labeled_only=query.labeled_only,
        source=finder.find_source(runs) if joined else None,
        source_columns=joined,
    )
    with published_labels(place.database, origin, runs, target.parent) as published:
        check_has_labels(published, origin)
        if chosen in place.mapped:
            _check_mapped(published.database, chosen)
        exported = export_labels.export(
            published.database, request, target, screen, limits=place.limits
        )
    for problem in published.problems:
        screen(problem)
    return ExportResult(
        name=chosen,
        file=target,
        rows=exported.rows,
        labeled=exported.labeled,
        columns=exported.columns,
        database=place.database,
        run_root=place.run_root,
        database_in_use=place.content.held,
        posts_not_gathered=published.posts,
        shards_not_gathered=published.shards,
        posts_missing=published.posts_missing,
        left_out=published.problems,
        exported=exported,
        runs=tuple(runs),
        source=request.source,
        exit_code=FAILED if published.problems else 0,
    )


def _check_mapped(database: Path, name: str) -> None:
    """Raise RunError if a database does not show mapped labels yet."""
    with duckdb_file.open_database(database, read_only=True, patience=SHORT_PATIENCE) as connection:
        if not mapped_labels.is_shown(connection, name):
            raise RunError(f"{database} does not show the labels {name} yet. Run: hpc gather")
