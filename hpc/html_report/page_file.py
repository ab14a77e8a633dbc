"""Write the page to a file, and replace nothing but an earlier page."""

import os
from pathlib import Path

from hpc.html_report.render import GENERATOR
from pipeline import files, limits
from pipeline.errors import InputError
from pipeline.messages.options import OUT, REPLACE
from pipeline.run_files import manifest

_ENDINGS = (".html", ".htm")
_MARK = f'<meta name="generator" content="{GENERATOR}">'
_BEGINNING = 4096


def check_page(target: Path, *, replaces: bool) -> None:
    """Raise InputError if a page must not be written there.

    Args:
        target: the page.
        replaces: whether an earlier page may be replaced.
    """
    if not target.name.lower().endswith(_ENDINGS):
        raise InputError(f"{OUT.set_to(target)}: the name of the page should end in .html")
    if not target.parent.is_dir():
        raise InputError(f"{OUT.set_to(target)}: there is no folder {target.parent}")
    if target.is_dir():
        raise InputError(f"{OUT.set_to(target)}: this is a folder; name a file in it")
    for folder in target.parents:
        if (folder / manifest.FILE_NAME).is_file():
            raise InputError(
                f"{OUT.set_to(target)}: {folder} is the folder of a run; write elsewhere"
            )
    if target.exists() and _MARK.encode() not in _read_beginning(target):
        raise InputError(
            f"{OUT.set_to(target)}: this file is not a page of hpc report, and was not replaced; "
            "name another"
        )
    if target.exists() and not replaces:
        raise InputError(f"{OUT.set_to(target)}: the page exists. To replace it, add {REPLACE.on}")


def _read_beginning(path: Path) -> bytes:
    with os.fdopen(limits.open_regular(path), "rb") as stream:
        return stream.read(_BEGINNING)


def write_page(target: Path, page: str) -> None:
    """Write a page; it appears whole, and in place of an earlier one.

    Raises:
        OSError: the disk is full, or the folder is closed to this user.
    """
    files.write_text(target, page)
