"""Convert a database that an earlier version wrote, so that DuckDB 1.x and R can open it.

The copy takes the database's place by one rename, once it has been compared. Until then, and
whatever fails, the old database stays in use. It is kept under another name afterwards, as the one
that a rebuild replaces.
"""

import os
import shutil
import stat
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import duckdb

from hpc.database import replace_database
from pipeline.database import storage_format
from pipeline.database.duckdb_file import Patience, UnusableDatabaseError, log_of
from pipeline.database.storage_format import Copying, StorageFormatError

# What the oldest format takes for the same rows: it compresses texts less well.
_GROWTH = 1.5


def convert_if_newer(
    path: Path, say: Callable[[str], None], patience: Patience | None = None
) -> None:
    """Convert a database to the oldest storage format, if it has a newer one.

    A process that reads the database meanwhile keeps the old file open. Where the database cannot
    be converted, this says why, and it stays as it is.

    Args:
        path: the database, which need not exist.
        say: shows a message.
        patience: how to wait for a process that writes to the database.

    Raises:
        HeldDatabaseError: another process writes to the database.
        RunError: it is damaged, or of another program.
    """
    path = path.resolve()  # what a link leads to is replaced, not the link
    if not storage_format.is_newer(path):
        return
    replace_database.remove_abandoned(path)
    fresh = replace_database.name_fresh(path)
    try:
        with closing(Copying(path, fresh, patience)) as copying:
            _check_room(path)
            say(
                f"{path} is in a format that only DuckDB 2 can open. Converting it once, so that "
                "DuckDB 1.x, R and other programs can open it too"
            )
            copying.write()
            _copy_access(path, fresh)
            kept = replace_database.replace(path, fresh)
    except UnusableDatabaseError:
        raise
    except (StorageFormatError, OSError, MemoryError, duckdb.Error) as error:
        say(f"{path} stays in the format that only DuckDB 2 can open: {error}")
    else:
        say(f"converted. The old file is kept as {kept}: the same rows, so you may delete it")
    finally:
        log_of(fresh).unlink(missing_ok=True)
        fresh.unlink(missing_ok=True)


def _check_room(path: Path) -> None:
    """Raise StorageFormatError if the disk has too little room for a second file."""
    size = sum(file.stat().st_size for file in (path, log_of(path)) if file.exists())
    needed, free = int(size * _GROWTH), shutil.disk_usage(path.parent).free
    if free < needed:
        raise StorageFormatError(
            f"a copy may take {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free there. "
            "Make room, and the next gather converts it"
        )


def _copy_access(path: Path, fresh: Path) -> None:
    """Let everybody open the copy who may open the database.

    Raises PermissionError where this user may not give it to the same group.
    """
    old = path.stat()
    new = fresh.stat()
    if new.st_gid != old.st_gid:
        os.chown(fresh, -1, old.st_gid)
    if new.st_uid != old.st_uid:
        with suppress(PermissionError):  # only root gives files away
            os.chown(fresh, old.st_uid, -1)
    fresh.chmod(stat.S_IMODE(old.st_mode))
