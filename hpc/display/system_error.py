"""Describe errors of the system: what happened, to which file, and what to do about it."""

import errno
import os
import resource
from pathlib import Path

import duckdb

from pipeline.database.stores.label_files import find_label_file
from pipeline.sql import MemoryLimitError, find_error_number, is_lack_of_disk
from pipeline.system import ownership
from pipeline.terminal import one_line

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_MEMORY = (errno.ENOMEM, errno.EAGAIN)
# A disk with less than this is full for a program that writes tables.
SMALL_BYTES = 64 << 20

_ADVICE_ON_LABEL_FILES = (
    "\nThis file has labels. Restore it together with the database. To make both again from the "
    "run folders, run: hpc gather --rebuild"
)
_MAKE_ROOM = "the disk or your quota is full. Make room, then run the same command again"
_ADVICE_ON_MEMORY = (
    "Set storage.memory_gb to more in the configuration, and run the same command again. For a run "
    "that exists: hpc resubmit RUN --set storage.memory_gb=16"
)
_ADVICE_ON_UNNAMED_FILES = (
    "\nA Parquet file may be damaged, and DuckDB does not say which. If it is one of the labels "
    "(storage.layout: parquet), restore it together with the database. To make both again from the "
    "run folders, run: hpc gather --rebuild"
)


def describe_error(error: Exception) -> str:
    """Return a message about an error of the system, of DuckDB or of this program."""
    if isinstance(error, OSError):
        return describe_system_error(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {describe_lack_of_memory()}"
    if isinstance(error, duckdb.Error):
        if is_lack_of_disk(error):
            return f"DuckDB: {error}\n{_MAKE_ROOM}"
        if isinstance(error, duckdb.OutOfMemoryException):
            return f"DuckDB: {error}\n{_ADVICE_ON_MEMORY}"
        return _describe_duckdb_error(error)
    return str(error)


def _describe_duckdb_error(error: duckdb.Error) -> str:
    file = find_label_file(error)
    if file is None:
        # Its reader of Parquet raises errors without a class, and without the name of the file.
        advice = _ADVICE_ON_UNNAMED_FILES if type(error) is duckdb.Error else ""
        return f"DuckDB: {error}{advice}"
    number = find_error_number(error)
    if number is not None:
        return describe_system_error(OSError(number, os.strerror(number), str(file)))
    what = "is damaged" if file.is_file() else "is missing"
    problem = str(error).partition("\n")[0]
    return f"{file} {what}: DuckDB: {problem}{_ADVICE_ON_LABEL_FILES}"


def describe_briefly(error: Exception) -> str:
    """Return what happened and to which file, on one line, without advice."""
    if isinstance(error, OSError) and error.strerror:
        return one_line(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    if isinstance(error, MemoryError):
        return "this process gets no more memory"
    return one_line(str(error).partition("\n")[0] or type(error).__name__)


def describe_system_error(error: OSError) -> str:
    """Return a message about an error that the system reported."""
    if error.errno in ownership.DENIED and isinstance(error.filename, str | bytes | os.PathLike):
        path = Path(os.fsdecode(error.filename))
        return f"{path}: {error.strerror}. {ownership.describe_denial(path)}"
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in _NO_SPACE and not _is_memory(error):
        return f"{where}{_MAKE_ROOM}"
    if isinstance(error, MemoryLimitError):
        return f"{error.strerror}\n{_ADVICE_ON_MEMORY}"
    if error.errno in (*_NO_SPACE, *_NO_MEMORY):
        return f"{where}{error.strerror}: {describe_lack_of_memory()}"
    return f"{where}{error.strerror or error}"


def describe_lack_of_memory() -> str:
    """Return that this process gets no more memory, and what to do about it."""
    limit = _address_space()
    shown = f", which `ulimit -v` limits to {limit / 2**30:.1f} GiB here" if limit else ""
    return (
        f"this machine gives this process no more memory{shown}. Run the same command "
        "again where there is more, such as on another login node or in a job"
    )


def _is_memory(error: OSError) -> bool:
    """Tell whether ENOSPC means memory: mmap and threads report it too under `ulimit -v`.

    So it is where the address space is limited, and the disk has room. A quota can be full on a
    disk that has room.
    """
    return error.errno == errno.ENOSPC and _address_space() is not None and _has_room(error)


def _has_room(error: OSError) -> bool:
    name = error.filename if isinstance(error.filename, str | os.PathLike) else "."
    path = Path(name).absolute()
    place = next((place for place in (path, *path.parents) if place.exists()), path)
    try:
        disk = os.statvfs(place)
    except OSError:
        return False
    has_inodes = disk.f_files == 0 or disk.f_favail > 0
    return has_inodes and disk.f_bavail * disk.f_frsize >= SMALL_BYTES


def _address_space() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
