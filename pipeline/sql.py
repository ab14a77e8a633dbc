"""Configure a DuckDB session, read single numbers, and write names and texts as SQL."""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from pipeline.config.session_limits import LOGIN_NODE, SessionLimits

# DuckDB's messages end with the words for the error number of a call that failed.
_SYSTEM_ERRORS = {os.strerror(number): number for number in errno.errorcode}
# Not compiled here, which takes 3 ms.
_FAILED_CALL = rf": ({'|'.join(map(re.escape, _SYSTEM_ERRORS))})(?=[\"\n]|$)"
# These calls failed too, and DuckDB does not say why, or with a number that has no words.
_NAMELESS_FAILURE = r"fsync failed|Could not (fsync|write|seek)|Failed to write to file"


def configure_session(
    connection: duckdb.DuckDBPyConnection,
    limits: SessionLimits = LOGIN_NODE,
    *,
    temp_directory: Path | None = None,
) -> None:
    """Apply the settings that every session has: limits of memory and threads, UTC.

    Args:
        connection: the session.
        limits: how much of the machine it takes.
        temp_directory: where DuckDB writes what does not fit into memory.
    """
    connection.execute(f"SET memory_limit = '{limits.memory_gb * 1e9:.0f}B'")
    connection.execute(f"SET threads = {limits.threads}")
    connection.execute("SET TimeZone = 'UTC'")
    # DuckDB measures the progress of queries, for `share_done`, and prints nothing. In Jupyter it
    # refuses any value of this setting unless ipywidgets is installed; then the bar is off.
    with contextlib.suppress(duckdb.Error):
        connection.execute("SET enable_progress_bar_print = false")
        connection.execute("SET enable_progress_bar = true")
    if temp_directory:
        connection.execute(f"SET temp_directory = {literal(str(temp_directory))}")


@contextlib.contextmanager
def spill_folder(limits: SessionLimits, otherwise: Path) -> Iterator[Path]:
    """Yield a folder for what does not fit into memory: a new one in the folder of `limits`.

    Two sessions that spilled into the same folder would overwrite each other's files.

    Args:
        limits: say where, if a person chose a folder.
        otherwise: the folder to yield if nobody did.

    Raises:
        OSError: the chosen folder is not there, or closed to this user.
    """
    if limits.temporary_folder is None:
        yield otherwise
        return
    with tempfile.TemporaryDirectory(prefix="hpc-duckdb-", dir=limits.temporary_folder) as name:
        yield Path(name)


def share_done(connection: duckdb.DuckDBPyConnection) -> float | None:
    """Return the share of the running query that is done, from 0 to 1; None if that is not known.

    Another thread may ask: it is a measure of `pipeline.progress`. DuckDB estimates the share by
    the rows that its sources have read, so a sort or a join may still follow.
    """
    try:
        percent = connection.query_progress()
    except duckdb.Error:  # the session was closed
        return None
    return percent / 100 if 0 <= percent <= 100 else None


def fetch_number(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    parameters: Sequence[object] | Mapping[str, object] = (),
) -> int:
    """Return the whole number that a query yields in its first row and column."""
    return int(connection.execute(query, parameters).fetchall()[0][0])


class MemoryLimitError(OSError):
    """A session of DuckDB reached its limit of memory."""

    def __init__(self, doing: str, problem: str) -> None:
        super().__init__(errno.ENOMEM, f"DuckDB reached its memory limit for {doing}: {problem}")


def is_lack_of_disk(error: duckdb.Error) -> bool:
    """Tell whether DuckDB had no room left on a disk, also for what does not fit into memory."""
    # By default, that setting is the room on the disk. DuckDB's class is that of lack of memory.
    return any(words in str(error) for words in ("No space left", "max_temp_directory_size"))


def raise_lack_of_space(error: duckdb.Error, doing: str) -> None:
    """Raise OSError if DuckDB ran out of disk or memory, for which no file is to blame."""
    if is_lack_of_disk(error):
        raise OSError(errno.ENOSPC, f"No space left for {doing}: {error}") from None
    if isinstance(error, duckdb.OutOfMemoryException):
        raise MemoryLimitError(doing, str(error).partition("\n")[0]) from None


def find_error_number(error: duckdb.Error) -> int | None:
    """Return the error number of a call to the system that failed; None if none did.

    DuckDB has no class for such errors.
    """
    if failed := re.search(_FAILED_CALL, str(error)):
        return _SYSTEM_ERRORS[failed[1]]
    return errno.EIO if re.search(_NAMELESS_FAILURE, str(error)) else None


@contextlib.contextmanager
def clean_up_with(action: Callable[[], object]) -> Iterator[None]:
    """Do something at the end of a block; an error of the block goes before one of what is done.

    A statement that fails ends its transaction, and a fatal error ends the session: from then on
    every other statement fails too.

    Args:
        action: what to do at the end, with a session of DuckDB.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(duckdb.Error):
            action()
        raise
    action()


def is_lock_message(message: str) -> bool:
    """Tell whether DuckDB says that it cannot open a file which another process has open.

    DuckDB has no class for this error. Not just "lock": all messages hold the path, and one names
    the damaged block.
    """
    return "Could not set lock on file" in message


def is_open_here_message(message: str) -> bool:
    """Tell whether DuckDB says that another connection of this process has a file open."""
    return (
        "different configuration than existing connections" in message
        or "Unique file handle conflict" in message
    )


def quoted(name: str) -> str:
    """Return a name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as a SQL string."""
    return "'" + text.replace("'", "''") + "'"


def file_list(paths: Iterable[Path | str]) -> str:
    """Return a SQL list of exactly these files.

    DuckDB takes `posts[1].csv` for a pattern that matches `posts1.csv`, so patterns are escaped.
    """
    exact = (re.sub(r"[*?[]", r"[\g<0>]", str(path)) for path in paths)
    return f"[{', '.join(map(literal, exact))}]"


def files_table(
    function: str, paths: Iterable[Path | str], *options: str, path_column: str = ""
) -> str:
    """Return the call of a table function that reads exactly these files, and only their content.

    DuckDB takes a folder `reason=x` for a column, which would replace the files' own. So SQL of
    this program reads files by this function only.

    Args:
        function: such as `read_csv`.
        paths: the files.
        options: further arguments, such as `union_by_name = true`.
        path_column: the column that gets the path of each row's file, if one is wanted. Its name
            should have a blank, so that no column of the files has it.
    """
    path = [f"filename = {literal(path_column)}"] if path_column else []
    arguments = [file_list(paths), "hive_partitioning = false", *path, *options]
    return f"{function}({', '.join(arguments)})"


def parquet_rows(paths: Iterable[Path | str], *, path_column: str = "") -> str:
    """Return SQL for the rows of Parquet files; the arguments are those of `files_table`."""
    return files_table("read_parquet", paths, path_column=path_column)


def where_all(conditions: Sequence[str]) -> str:
    """Return a WHERE clause that requires all conditions; empty where there are none.

    A condition that a person wrote may end in a comment, so each has a line of its own.
    """
    joined = " AND ".join(f"({condition}\n)" for condition in conditions)
    return f" WHERE {joined}" if conditions else ""
