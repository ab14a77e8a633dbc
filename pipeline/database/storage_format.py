"""Copy a database into the oldest storage format, and prove that the copy holds the same rows."""

import struct
from contextlib import closing, suppress
from pathlib import Path

import duckdb

from pipeline.database import duckdb_file
from pipeline.database.duckdb_file import OLDEST_STORAGE, Patience, log_of
from pipeline.database.open_here import is_open_here
from pipeline.database.output_proofs import row_hash
from pipeline.database.tables import CREATE_TABLES
from pipeline.errors import RunError
from pipeline.sql import configure_session, literal, quoted

# A file begins with a checksum, these letters, and the number of its format.
_HEADER = struct.Struct("<8x4sQ")
_MAGIC = b"DUCK"
_OLDEST_NUMBER = 64
_OLD, _COPY = "old", "copy"


def is_newer(path: Path) -> bool:
    """Tell whether DuckDB 1.0 is too old for a database's format.

    Where this process has the database open, it is not read: the system would drop DuckDB's lock
    when the file is closed here. Whoever opens it for writing says so.
    """
    # Opening a named pipe would wait for its writer.
    if not path.is_file() or is_open_here(path):
        return False
    try:
        with path.open("rb") as stream:
            header = stream.read(_HEADER.size)
    except OSError:  # whoever opens the database says so
        return False
    if len(header) < _HEADER.size:
        return False
    magic, number = _HEADER.unpack(header)
    return bool(magic == _MAGIC and number > _OLDEST_NUMBER)


class StorageFormatError(RunError):
    """A database cannot be copied into the oldest format."""


class Copying:
    """A database that is being copied. It stays open, so that nobody writes to it meanwhile."""

    def __init__(self, path: Path, copy: Path, patience: Patience | None = None) -> None:
        """Open the database for reading.

        Args:
            path: the database.
            copy: the file that becomes its copy.
            patience: how to wait for a process that writes to the database.

        Raises:
            HeldDatabaseError: another process writes to the database for longer than that.
            RunError: it is a database of another program, or damaged.
        """
        with duckdb_file.open_database(path, read_only=True, patience=patience):
            pass
        self._copy = copy
        self._connection = duckdb.connect()
        try:
            self._spill = copy.with_name(f"{copy.name}.tmp")
            configure_session(self._connection, temp_directory=self._spill)
            duckdb_file.attach(self._connection, path, _OLD)
        except BaseException:
            self.close()
            raise

    def write(self) -> None:
        """Write the copy and check it.

        Raises:
            StorageFormatError: something in the database needs a newer format, or the copy differs.
            OSError: the disk is full.
        """
        try:
            self._connection.execute(
                f"ATTACH {literal(str(self._copy))} AS {_COPY} "
                f"(STORAGE_VERSION '{OLDEST_STORAGE}');"
                f"COPY FROM DATABASE {_OLD} TO {_COPY}; DETACH {_COPY}"
            )
            self._write_indexes_again()
            self._compare()
        except duckdb.Error as error:
            duckdb_file.raise_system_error(self._copy, error)
            raise StorageFormatError(str(error).partition("\n")[0]) from None

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()
        with suppress(OSError):
            self._spill.rmdir()

    def _write_indexes_again(self) -> None:
        """Write the indexes of users again, and `runs` without the one that it had.

        A copied index depends on its table in another catalog, which DuckDB 1.1 rejects.
        """
        indexes = self._connection.execute(
            "SELECT schema_name, index_name, sql FROM duckdb_indexes() "
            f"WHERE database_name = '{_OLD}' AND sql IS NOT NULL"
        ).fetchall()
        with closing(duckdb_file.connect(self._copy)) as copy:
            for schema, name, _ in indexes:
                copy.execute(f"DROP INDEX {quoted(schema)}.{quoted(name)}")
            copy.execute(
                "ALTER TABLE runs RENAME TO runs_with_key;"
                f"{CREATE_TABLES} INSERT INTO runs BY NAME FROM runs_with_key;"
                "DROP TABLE runs_with_key"
            )
            for _, _, create in indexes:
                copy.execute(create)

    def _compare(self) -> None:
        """Raise StorageFormatError unless all tables have the same rows."""
        if log_of(self._copy).exists():
            raise StorageFormatError(f"{self._copy} could not be completed")
        self._connection.execute(f"ATTACH {literal(str(self._copy))} AS {_COPY} (READ_ONLY)")
        tables = self._connection.execute(
            f"SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = '{_OLD}'"
        ).fetchall()
        for schema, table in tables:
            name = f"{quoted(schema)}.{quoted(table)}"
            # The copy may have columns that a later version added.
            columns = self._connection.execute(f"DESCRIBE {_OLD}.{name}").fetchall()
            types = {row[0]: row[1] for row in columns}
            old, new = (self._describe(f"{each}.{name}", types) for each in (_OLD, _COPY))
            if old != new:
                raise StorageFormatError(f"the copy of table {schema}.{table} differs")
        self._connection.execute(f"DETACH {_COPY}")

    def _describe(self, table: str, types: dict[str, str]) -> tuple[object, ...]:
        """Return the number of a table's rows, and the sum of the hashes of these columns."""
        rows = self._connection.execute(
            f"SELECT count(*), sum({row_hash(types)}::HUGEINT) FROM {table}"
        ).fetchall()
        return rows[0]
