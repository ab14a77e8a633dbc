"""Write, register and remove the Parquet files that hold the labels of a name.

The files lie beside the database, in `<database>.parquet/labels_<name>/`. A file never changes and
its name is used once. What counts is the database's table `label_parts`: the view `labels_<name>`
names exactly the registered files, so that rows appear and disappear with a commit. A file that is
not registered is what a killed gather left, or belongs to a newer database than the one that was
restored. The next gather moves it aside.

Paths in the database are relative to the folder that it lies in, so that a project can be moved.
"""

import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline import files
from pipeline.config.sections import PARQUET
from pipeline.database.label_tables import labels_table
from pipeline.database.stores.label_files import folder_name, folder_of
from pipeline.database.stores.layouts import parquet_names
from pipeline.sql import clean_up_with, literal, parquet_rows, quoted

_OWN_NAME = re.compile(r"(?P<run>.*)-\d{5,}-[0-9a-f]{16}\.parquet")
# The column with the path of each row's file. No label column has this name: it has a blank.
FILE = "part file"
# A group of rows is in memory at once. DuckDB's default, twice as many, takes too much with long
# texts.
_OPTIONS = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 61_440"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A registered file of labels."""

    number: int
    """The order of the parts of a name."""
    run_id: str
    """The run that all its rows come from."""
    file: str
    """Its path, relative to the folder that the database lies in."""
    rows: int


class Parts:
    """The files of one name's labels. Its methods are called within a transaction."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, database: Path, name: str) -> None:
        """Keep an open database, its path, and a name."""
        self._connection = connection
        self._name = name
        self._home = database.resolve().parent
        self._folder = f"{folder_name(database)}/{labels_table(name)}"

    def listed(self) -> list[Part]:
        """Return the registered files, in the order of the rows."""
        rows = self._connection.execute(
            "SELECT part, run_id, file, row_count FROM label_parts WHERE name = ? ORDER BY part",
            [self._name],
        ).fetchall()
        return [
            Part(number=number, run_id=run_id, file=file, rows=count)
            for number, run_id, file, count in rows
        ]

    def path(self, part: Part) -> Path:
        """Return where a file is."""
        return self._home / part.file

    def relation(self, parts: Sequence[Part]) -> str:
        """Return SQL for the rows of some files, at least one, with the column FILE."""
        return parquet_rows(map(self.path, parts), path_column=FILE)

    def write(self, query: str, run_id: str, number: int) -> Part | None:
        """Write the rows of a query to a new file and register it; None if there are no rows.

        Raises:
            OSError: the disk is full.
        """
        name = f"{run_id}-{number:05d}-{uuid.uuid4().hex[:16]}.parquet"
        path = self._home / self._folder / name
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            files.sync_all([self._home, path.parent.parent])
        with files.appearing_whole(path) as temporary, _all_columns_nullable(self._connection):
            copied = self._connection.execute(
                f"COPY ({query}) TO {literal(str(temporary))} ({_OPTIONS})"
            ).fetchall()
        rows = int(copied[0][0])
        if not rows:
            path.unlink()
            return None
        part = Part(number=number, run_id=run_id, file=f"{self._folder}/{name}", rows=rows)
        self._connection.execute(
            "INSERT INTO label_parts (name, part, run_id, file, row_count) VALUES (?, ?, ?, ?, ?)",
            [self._name, part.number, part.run_id, part.file, part.rows],
        )
        return part

    def forget(self, part: Part) -> None:
        """Take a file out of the register. `remove` deletes it after the commit."""
        self._connection.execute(
            "DELETE FROM label_parts WHERE name = ? AND file = ?", [self._name, part.file]
        )

    def remove(self, part: Part) -> None:
        """Delete a file that is not registered any more, unless another database may use it."""
        if Path(part.file).parent == Path(self._folder):
            with suppress(OSError):  # the next gather moves it aside
                self.path(part).unlink()

    def create_view(self, columns: Mapping[str, str]) -> None:
        """Show a name that has no file yet.

        Args:
            columns: the types of its columns, by name.
        """
        self._connection.execute(
            "INSERT INTO label_layouts (name, layout) VALUES (?, ?)", [self._name, PARQUET]
        )
        # Not OR REPLACE: mapped labels of the same name are a view, too.
        view = quoted(labels_table(self._name))
        self._connection.execute(f"CREATE VIEW {view} AS {_no_rows(columns)}")

    def show(self, columns: Mapping[str, str]) -> None:
        """Let the view show the files that are registered now.

        Args:
            columns: the types of their columns, by name.
        """
        _show(self._connection, self._name, columns)


@contextmanager
def _all_columns_nullable(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let COPY declare every column nullable.

    It declares a column as required where the statistics of the files that it reads say that they
    have no null, so that the schema of a file would depend on its rows.
    """
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    with clean_up_with(lambda: connection.execute("RESET disabled_optimizers")):
        yield


def find_unregistered(connection: duckdb.DuckDBPyConnection, database: Path) -> list[Path]:
    """Return the files beside a database that it does not register."""
    folder = folder_of(database)
    rows = connection.execute("SELECT file FROM label_parts").fetchall()
    registered = {str(file) for (file,) in rows}
    return [
        path
        for path in sorted(folder.rglob("*.parquet"))
        if _OWN_NAME.fullmatch(path.name) and str(path.relative_to(folder.parent)) not in registered
    ]


def sweep(connection: duckdb.DuckDBPyConnection, database: Path) -> Path | None:
    """Move the files aside that the database does not register, while it is open for writing.

    A killed gather leaves such files. They may also be all that is left of labels: those of a
    database that is gone, or of a newer one than this, which was restored from a backup.

    Returns:
        The folder that has them now, beside the database; None if there are none.
    """
    folder = folder_of(database)
    if not folder.is_dir():
        return None
    kept = files.name_to_keep(folder)
    if not connection.execute("SELECT 1 FROM label_layouts LIMIT 1").fetchall():
        folder.rename(kept)
        return kept
    for path in find_unregistered(connection, database):
        if path.name.startswith(files.TEMPORARY_PREFIX):
            files.delete(path)  # it was never complete
            continue
        target = kept / path.relative_to(folder)
        with suppress(OSError):  # it is in nobody's way
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    return kept if kept.is_dir() else None


def find_files_of_gone_runs(
    database: Path, run_ids: Collection[str]
) -> Mapping[Path, Collection[str]]:
    """Return the runs that only files of labels beside a database know, by folder.

    These are the files that the database shows, and those that were moved aside.

    Args:
        database: its path.
        run_ids: the runs whose folders are there.
    """
    home, name = database.resolve().parent, re.escape(database.resolve().name)
    kept = re.compile(rf"{name}(\.parquet(\.replaced-.+)?|\.replaced-.+\.parquet)")
    found: dict[Path, set[str]] = {}
    for folder in sorted(path for path in home.iterdir() if kept.fullmatch(path.name)):
        for path in folder.rglob("*.parquet"):
            own = _OWN_NAME.fullmatch(path.name)
            is_whole = not path.name.startswith(files.TEMPORARY_PREFIX)
            if own and is_whole and own["run"] not in run_ids:
                found.setdefault(path.parent, set()).add(own["run"])
    return found


def move_all(connection: duckdb.DuckDBPyConnection, catalog: str, home: Path, folder: str) -> None:
    """Move the files of a database into another folder beside it, and let its views show them.

    Args:
        connection: the database, open for writing, within a transaction.
        catalog: the database there.
        home: the folder that the database lies in.
        folder: the name of the other folder.
    """
    for name in parquet_names(connection, catalog):
        rows = connection.execute(
            "SELECT file FROM label_parts WHERE name = ? ORDER BY part", [name]
        ).fetchall()
        target = home / folder / labels_table(name)
        target.mkdir(parents=True, exist_ok=True)
        for (file,) in rows:
            moved = target / Path(file).name
            (home / file).replace(moved)
            connection.execute(
                "UPDATE label_parts SET file = ? WHERE name = ? AND file = ?",
                [str(moved.relative_to(home)), name, file],
            )
        files.sync_all([target, home / folder, home])
        described = connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = ? "
            "AND table_name = ? ORDER BY column_index",
            [catalog, labels_table(name)],
        ).fetchall()
        _show(connection, name, dict(described))


def _show(connection: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, str]) -> None:
    rows = connection.execute(
        "SELECT file FROM label_parts WHERE name = ? ORDER BY part", [name]
    ).fetchall()
    query = f"SELECT * FROM {parquet_rows(file for (file,) in rows)}"
    view = quoted(labels_table(name))
    connection.execute(f"CREATE OR REPLACE VIEW {view} AS {query if rows else _no_rows(columns)}")


def _no_rows(columns: Mapping[str, str]) -> str:
    values = (f"NULL::{kind} AS {quoted(name)}" for name, kind in columns.items())
    return f"SELECT {', '.join(values)} WHERE false"
