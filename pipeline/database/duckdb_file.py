"""Open the DuckDB file of labels and history, and wait where another process has it open.

The file can be rebuilt from the run folders. Only a gathering process opens it for writing, and
only briefly: DuckDB lets a single process write at a time.

It is created in the oldest storage format that DuckDB can write, so that DuckDB 1.x, R and other
programs can read it. DuckDB keeps the format of a file that exists.
"""

import errno
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import duckdb
import msgspec
import pyarrow as pa

from pipeline.config.session_limits import LOGIN_NODE, SessionLimits
from pipeline.database.open_here import is_open_elsewhere_here, is_open_here, note_opened
from pipeline.database.stores.label_files import find_blocking_files, find_label_file
from pipeline.database.tables import CREATE_TABLES, HISTORY_TABLES
from pipeline.errors import BusyError, RunError, UnreadableError
from pipeline.sql import (
    clean_up_with,
    configure_session,
    find_error_number,
    is_lock_message,
    is_open_here_message,
    literal,
    quoted,
    spill_folder,
)
from pipeline.system.lock_holders import LockHolder, describe_holders, find_lock_holders

LOCK_WAIT_S = 10.0
# A process that gathers or reads is soon done. Only what takes longer is worth a message.
QUIET_S = 2.0
OLDEST_STORAGE = "v1.0.0"
HOW_TO_CLOSE = (
    "DuckDB lets nobody else write to it meanwhile; hpc export can read the labels. Close it there "
    "(in a notebook: close the connection, or restart the kernel)"
)
# A database without any table: DuckDB's three headers.
_EMPTY_BYTES = 3 * 4096
Opened = TypeVar("Opened")


class UnusableDatabaseError(RunError):
    """The file is there and DuckDB cannot open it as a database."""

    def __init__(self, path: Path, problem: str) -> None:
        """Keep the file, and what is wrong with it."""
        super().__init__(
            f"the database {path} cannot be opened: {problem}\n"
            "to rebuild it from the run folders, run: hpc gather --rebuild"
        )


class HeldDatabaseError(BusyError):
    """Another process has the database open, or another connection of this one.

    Nothing is lost: outputs wait to be gathered.
    """

    def __init__(
        self, path: Path, holders: tuple[LockHolder, ...], *, is_here: bool = False
    ) -> None:
        """Keep the file, and who has it open as far as that is known."""
        holder = "another connection of this process" if is_here else describe_holders(holders)
        self.where = f"{path} is open in {holder}"
        self.holders = holders
        super().__init__(f"{self.where}. {HOW_TO_CLOSE}, then run the same command again")


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How to wait for another process that has the database open."""

    seconds: float
    """How long."""
    say: Callable[[str], None] | None = None
    """Shows that this waits, and for whom."""
    for_own_process_s: float = 1.0
    """How long to wait for another connection of this process, in seconds at most.

    Another thread may soon be done. A notebook does not close its connection meanwhile.
    """


SHORT_PATIENCE = Patience(seconds=2.0)
"""For previews and exports, which can do without a database that another process writes to."""


def log_of(path: Path) -> Path:
    """Return the file beside a database in which DuckDB keeps what is not in it yet."""
    return path.with_name(f"{path.name}.wal")


def check_place(path: Path) -> None:
    """Raise UnreadableError if a path is a link to where nothing is, as on an unmounted disk."""
    if path.is_symlink() and not path.resolve().parent.is_dir():
        raise UnreadableError(path, OSError(errno.ENOENT, f"it is a link to {path.resolve()}"))


def exists(path: Path) -> bool:
    """Tell whether there is a database.

    Raises:
        UnreadableError: the file is a link to a disk that is not there now, so nobody can tell.
    """
    check_place(path)
    return path.exists()


@contextmanager
def open_database(
    path: Path,
    *,
    read_only: bool = False,
    patience: Patience | None = None,
    limits: SessionLimits = LOGIN_NODE,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the database and create its tables.

    Args:
        path: the file; it is created where it does not exist, unless `read_only`.
        read_only: for readers.
        patience: how to wait for another process, by default silently for LOCK_WAIT_S.
        limits: how much of the machine DuckDB may take.

    Raises:
        HeldDatabaseError: another process has the database open for longer than that.
        UnusableDatabaseError: the file is damaged, or its log belongs to another database.
        RunError: the file is not a database of this program.
        UnreadableError: the file is a link to a disk that is not there now.
        OSError: the disk is full, or the file is closed to this user; also raised from within the
            block.
    """
    check_place(path)
    if log_of(path).exists() and not path.exists():
        # DuckDB would delete the log, which may be all that is left.
        raise UnusableDatabaseError(path, f"only its log {log_of(path).name} exists")
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        spill_folder(limits, path.with_name(f"{path.name}.tmp")) as spill,
        closing(_connect(path, read_only=read_only, patience=patience)) as connection,
    ):
        try:
            _prepare(connection, path, read_only=read_only, limits=limits, spill=spill)
            with note_opened(path):
                yield connection
        except duckdb.Error as error:
            raise_system_error(path, error)
            raise


def _connect(
    path: Path, *, read_only: bool, patience: Patience | None
) -> duckdb.DuckDBPyConnection:
    is_new = not path.exists()
    try:
        return _wait_for_lock(
            path,
            lambda: connect(path, read_only=read_only),
            patience or Patience(seconds=LOCK_WAIT_S),
            is_open_elsewhere_here,
        )
    except OSError:
        if is_new:
            _remove_begun(path)
        raise


def _prepare(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    *,
    read_only: bool,
    limits: SessionLimits,
    spill: Path,
) -> None:
    configure_session(connection, limits, temp_directory=spill)
    _find_files_beside(connection, path)
    # A transaction for each shard fills DuckDB's log quickly. Checkpointing at every 16 MB,
    # the default, takes as long again as the inserts (1M posts: 8.3 s instead of 4.5 s).
    connection.execute("SET checkpoint_threshold = '256MB'")
    reject_other_databases(connection, path)
    if not read_only:
        _create_tables(connection, path)


def connect(path: Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open the file that has this name now.

    A gather may put another file in its place between DuckDB's opening and locking of the old one.
    What is written to the old file then would be lost.
    """
    while True:
        before = _identity(path)
        connection = duckdb.connect(
            str(path),
            read_only=read_only,
            config={"storage_compatibility_version": OLDEST_STORAGE},
        )
        if before in (None, _identity(path)):
            return connection
        connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino


def _remove_begun(path: Path) -> None:
    """Remove what a full disk left of a new database: nobody could open it once there is room."""
    with suppress(OSError):
        if path.stat().st_size < _EMPTY_BYTES and not log_of(path).exists():
            path.unlink()


# For a database that was opened a moment ago: another thread has it now, and will soon be done.
_PATIENCE_WITH_THREADS = Patience(seconds=LOCK_WAIT_S, for_own_process_s=LOCK_WAIT_S)


def attach(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    alias: str,
    *,
    patience: Patience = _PATIENCE_WITH_THREADS,
) -> None:
    """Attach the database read-only to another connection, waiting as `opened` does.

    Raises:
        HeldDatabaseError: another process has it open for writing for longer than that, or this
            one has it open at all.
        UnusableDatabaseError: the file is damaged.
    """
    statement = f"ATTACH {literal(str(path))} AS {quoted(alias)} (READ_ONLY)"
    _wait_for_lock(path, lambda: connection.execute(statement), patience, is_open_here)
    _find_files_beside(connection, path)


def _find_files_beside(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Let views find the files that they name by paths relative to the database's folder.

    DuckDB looks in the working folder first. There may be a copy of the project, whose files of the
    same names are the same: a name is used once.
    """
    known = connection.execute("SELECT current_setting('file_search_path')").fetchall()[0][0]
    folders = [*filter(None, (known or "").split(",")), str(path.resolve().parent)]
    joined = ",".join(dict.fromkeys(folders))
    connection.execute(f"SET file_search_path = {literal(joined)}")


def _wait_for_lock(
    path: Path,
    open_it: Callable[[], Opened],
    patience: Patience,
    is_held_here: Callable[[Path], bool],
) -> Opened:
    for file in (path, log_of(path), *find_blocking_files(path)):
        if file.exists() and not file.is_file():
            # DuckDB would wait for the other end of a pipe, and no rebuild replaces a folder.
            raise RunError(
                f"{file} is not a regular file: move it away. The database can then be made again "
                "from the run folders: hpc gather --rebuild"
            )
    began = time.monotonic()
    is_said = patience.say is None
    while True:
        # DuckDB would open the file a second time, and drop the lock of the first connection.
        is_here = is_held_here(path)
        try:
            if not is_here:
                return open_it()
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise_system_error(path, error)
            is_here = is_open_here_message(str(error))
            if not is_here and not is_lock_message(str(error)):
                raise UnusableDatabaseError(path, str(error)) from None
        waited = time.monotonic() - began
        most = min(patience.seconds, patience.for_own_process_s if is_here else math.inf)
        if waited > most:
            holders = () if is_here else find_lock_holders(path)
            raise HeldDatabaseError(path, holders, is_here=is_here)
        if patience.say and not is_said and not is_here and waited > QUIET_S:
            named = describe_holders(find_lock_holders(path))
            patience.say(f"{path} is open in {named}: waiting up to {patience.seconds:g} s")
            is_said = True
        time.sleep(0.2)


def reject_other_databases(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raise RunError, before anything is spent, where the file is another program's database."""
    rows = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()"
    ).fetchall()
    tables = {row[0] for row in rows}
    if tables and not tables >= HISTORY_TABLES:
        raise RunError(
            f"{path} is not a database of this program: it has the tables "
            f"{', '.join(sorted(tables))}. Name another file in storage.database"
        )


def _create_tables(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    try:
        connection.execute(f"BEGIN; {CREATE_TABLES} COMMIT;")
    except duckdb.Error as error:
        raise_system_error(path, error)
        raise RunError(f"{path} is not a database of this program: {error}") from None


def raise_system_error(path: Path, error: duckdb.Error) -> None:
    """Raise OSError if a call to the system failed, for which DuckDB has no class.

    Whatever the call, that says something about the system or the reader, and nothing about the
    content of the file.
    """
    number = find_error_number(error)
    if number is not None:
        file = find_label_file(error, path.resolve().parent) or path
        raise OSError(number, os.strerror(number), str(file)) from None


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit at the end of the block; roll back where it fails.

    A COMMIT that fails, such as on a full disk, has ended the transaction already: the ROLLBACK
    after it fails too, and must not hide the first error.
    """
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise


def has_table(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Tell whether the database has a table of this name."""
    rows = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND table_name = ?",
        [name],
    ).fetchall()
    return bool(rows)


@contextmanager
def register_tables(connection: duckdb.DuckDBPyConnection, **tables: pa.Table) -> Iterator[None]:
    """Let queries within the block read these tables under their names."""
    with ExitStack() as registered:
        for name, table in tables.items():
            connection.register(name, table)
            registered.enter_context(clean_up_with(partial(connection.unregister, name)))
        yield


def insert_rows(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[dict[str, object]]
) -> None:
    """Insert rows, given by column, as one Arrow table.

    INSERT … VALUES would take a second for every thousand rows.
    """
    if not rows:
        return
    if len(rows) == 1:
        names = ", ".join(map(quoted, rows[0]))
        marks = ", ".join("?" * len(rows[0]))
        connection.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})", list(rows[0].values())
        )
        return
    with register_tables(connection, rows=pa.Table.from_pylist(list(rows))):
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM rows")
