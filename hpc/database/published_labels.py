"""Give readers every published label, even while the database is in use or incomplete.

An open notebook keeps `gather` from writing. The published outputs are the truth, so what the
database lacks is added to a copy of the name's tables, by the rules of `gather`.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from hpc.database.gather_outputs import gather_into_copy
from hpc.database.gathered_shards import find_not_gathered
from hpc.run.model.run import Run
from hpc.run.outputs import verify_outputs
from pipeline.config.session_limits import SessionLimits
from pipeline.database import duckdb_file, history
from pipeline.database.duckdb_file import SHORT_PATIENCE, HeldDatabaseError
from pipeline.database.history import GatheredShard
from pipeline.database.label_tables import gathered_names, has_labels, labels_table
from pipeline.errors import InputError
from pipeline.run_files.output import OutputCheck
from pipeline.sql import quoted
from pipeline.text import counted

_DATABASE = "original"


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseContent:
    """What a database says about its names and runs."""

    names: tuple[str, ...] = ()
    """The names that have labels."""
    run_roots: tuple[Path, ...] = ()
    """The folders of the runs that it knows."""
    held: str = ""
    """Why it cannot be read now, such as `labels.duckdb is open in R (pid 7)`; empty if it can."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedLabels:
    """Where all labels of a name can be read that are published."""

    database: Path
    """The database, or a copy of the name's tables that has what the database lacks."""
    shards: int = 0
    """How many published shards the database lacks, or does not show now."""
    posts: int = 0
    """How many posts these have."""
    posts_missing: int = 0
    """How many posts of the runs have no published result yet."""
    problems: tuple[str, ...] = ()
    """A message for each output that was left out."""


def read_content(database: Path) -> DatabaseContent:
    """Return what a database holds. A database that does not exist holds nothing.

    Raises:
        RunError: it is damaged, or of another program.
    """
    if not duckdb_file.exists(database):
        return DatabaseContent()
    try:
        with duckdb_file.open_database(database, read_only=True, patience=SHORT_PATIENCE) as labels:
            names = gathered_names(labels)
            folders = labels.execute("SELECT DISTINCT run_dir FROM runs").fetchall()
    except HeldDatabaseError as error:
        return DatabaseContent(held=error.where)
    return DatabaseContent(
        names=tuple(names),
        run_roots=tuple(sorted({Path(folder).parent for (folder,) in folders})),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenPosts:
    """Which posts of a name's runs have no row in the database yet."""

    not_gathered: int = 0
    """Posts of published shards that the database lacks."""
    missing: int = 0
    """Posts without a published result."""


def count_open(database: Path, runs: Sequence[Run]) -> OpenPosts:
    """Count the posts of some runs that a database does not have. It may be in use, or not exist.

    While it is in use, nobody can tell what it has, and no post counts as not gathered.

    Args:
        database: the database.
        runs: the runs of a name that write to it.

    Raises:
        RunError: the database is damaged, or of another program.
    """
    published = {run.run_id: verify_outputs(run) for run in runs}
    known = _read_known(database, runs)
    not_gathered = 0 if known is None else _count(runs, _find_missing(known, runs, published))
    return OpenPosts(not_gathered=not_gathered, missing=_count_unpublished(runs, published))


@contextmanager
def published_labels(
    database: Path, name: str, runs: Sequence[Run], folder: Path
) -> Iterator[PublishedLabels]:
    """Yield where all published labels of a name are.

    Args:
        database: the database, which need not exist, and may be in use.
        name: of the labels.
        runs: the runs of the name that write to the database, oldest first.
        folder: where a copy can be written, which is deleted afterwards.

    Raises:
        RunError: the database is damaged, or of another program.
    """
    published = {run.run_id: verify_outputs(run) for run in runs}
    known = _read_known(database, runs)
    is_readable = known is not None
    not_gathered = _find_missing(known or {}, runs, published)
    shards = sum(map(len, not_gathered.values()))
    posts_missing = _count_unpublished(runs, published)
    if is_readable and not shards:
        yield PublishedLabels(database=database, posts_missing=posts_missing)
        return
    with tempfile.TemporaryDirectory(prefix=".tmp-labels-", dir=folder) as place:
        copy = Path(place) / "labels.duckdb"
        if is_readable and duckdb_file.exists(database):
            _copy_tables(database, name, copy, runs[-1].limits)
        problems = gather_into_copy(published, runs, copy)
        yield PublishedLabels(
            database=copy,
            shards=shards,
            posts=_count(runs, not_gathered),
            posts_missing=posts_missing,
            problems=problems,
        )


def check_has_labels(published: PublishedLabels, name: str) -> None:
    """Raise InputError if a name has no row anywhere yet, and say what to do."""
    if duckdb_file.exists(published.database):
        with duckdb_file.open_database(
            published.database, read_only=True, patience=SHORT_PATIENCE
        ) as labels:
            if has_labels(labels, name):
                return
    posts = counted(published.posts_missing, "post of its runs waits", "posts of its runs wait")
    problems = "".join(f"\n{problem}" for problem in published.problems)
    raise InputError(
        f"{name} has no labels yet; {posts}. How far they are: hpc status {name}{problems}"
    )


_Known = Mapping[str, Mapping[int, GatheredShard]]
_Published = Mapping[str, Sequence[OutputCheck]]
_Shards = Mapping[str, Sequence[int]]


def _find_missing(known: _Known, runs: Sequence[Run], published: _Published) -> _Shards:
    """Return by run the published shards that the database lacks."""
    return {
        run.run_id: find_not_gathered(known.get(run.run_id, {}), published[run.run_id])
        for run in runs
    }


def _count_unpublished(runs: Sequence[Run], published: _Published) -> int:
    """Count the posts without a published result, as `report` does."""
    unpublished = {
        run.run_id: [
            index for index, check in enumerate(published[run.run_id]) if not check.verified
        ]
        for run in runs
    }
    return _count(runs, unpublished)


def _count(runs: Sequence[Run], shards: _Shards) -> int:
    """Return how many posts some shards of runs have."""
    return sum(run.manifest.shards[index].posts for run in runs for index in shards[run.run_id])


def _read_known(database: Path, runs: Sequence[Run]) -> _Known | None:
    """Return what the database has of each run; None if it cannot be read now."""
    if not duckdb_file.exists(database):
        return {}
    try:
        with duckdb_file.open_database(database, read_only=True, patience=SHORT_PATIENCE) as labels:
            return {run.run_id: history.gathered_shards(labels, run.run_id) for run in runs}
    except HeldDatabaseError:
        return None


def _copy_tables(database: Path, name: str, copy: Path, limits: SessionLimits) -> None:
    """Copy the labels of a name, and the history of its runs."""
    with duckdb_file.open_database(copy, limits=limits) as connection:
        duckdb_file.attach(connection, database, _DATABASE)
        for table in (labels_table(name), f"superseded_{name}"):
            if _has_table(connection, table):
                source = f"{_DATABASE}.{quoted(table)}"
                connection.execute(f"CREATE TABLE {quoted(table)} AS FROM {source}")
        connection.execute(
            f"INSERT INTO runs BY NAME SELECT * FROM {_DATABASE}.runs WHERE name = ?", [name]
        )
        connection.execute(
            f"INSERT INTO shards BY NAME SELECT * FROM {_DATABASE}.shards "
            "WHERE run_id IN (SELECT run_id FROM runs)"
        )
        connection.execute(f"DETACH {_DATABASE}")


def _has_table(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    rows = connection.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_catalog = ? AND table_name = ?",
        [_DATABASE, table],
    ).fetchall()
    return bool(rows)
