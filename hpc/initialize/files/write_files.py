"""Write the files of a new project: all of them, or none."""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpc.initialize.files.plan_files import PlannedFile, Writing
from pipeline import files
from pipeline.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What happened to the files."""

    written: tuple[str, ...] = ()
    """The files that are new or have more lines, relative to the project's folder."""
    kept: tuple[tuple[str, str], ...] = ()
    """The files that were replaced, each with the name under which it is kept."""


@dataclass(slots=True)
class _Undo:
    """What takes back all that was done so far, in reverse."""

    steps: list[Callable[[], object]] = field(default_factory=list)

    def all(self) -> None:
        for step in reversed(self.steps):
            with contextlib.suppress(OSError):  # the first error says more
                step()


def write_files(folder: Path, planned: Sequence[PlannedFile], *, force: bool) -> Written:
    """Write files that appear whole. After an error, or Ctrl-C, none of them is there.

    Args:
        folder: the project's folder, which is created if it does not exist.
        planned: the files.
        force: keep a file that is in the way under another name, and write the new one.

    Raises:
        InputError: a file is in the way.
        OSError: a file cannot be written.
    """
    undo = _Undo()
    written: list[str] = []
    kept: list[tuple[str, str]] = []
    try:
        for file in planned:
            target = folder / file.name
            _make_folders(target.parent, undo)
            if file.writing is Writing.KEEP and os.path.lexists(target):
                continue
            if file.writing is Writing.APPEND:
                _append(target, file.text, undo)
            else:
                if force and os.path.lexists(target):
                    kept.append((file.name, _set_aside(target, undo)))
                _create(target, file.text, undo)
            written.append(file.name)
    except BaseException:
        undo.all()
        raise
    return Written(written=tuple(written), kept=tuple(kept))


def _make_folders(folder: Path, undo: _Undo) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir()
        undo.steps.append(each.rmdir)


def _set_aside(target: Path, undo: _Undo) -> str:
    aside = files.name_to_keep(target)
    target.rename(aside)
    undo.steps.append(lambda: aside.rename(target))
    return aside.name


def _create(target: Path, text: str, undo: _Undo) -> None:
    if not os.path.lexists(target):  # or it is somebody's, and stays
        undo.steps.append(lambda: target.unlink(missing_ok=True))
    try:
        files.write_new_bytes(target, text.encode())
    except FileExistsError:
        raise InputError(
            f"nothing was written: {target} exists. Choose another --name, or add --force, which "
            "keeps the old file under another name"
        ) from None


def _append(target: Path, text: str, undo: _Undo) -> None:
    before = target.read_bytes()
    undo.steps.append(lambda: target.write_bytes(before))
    separator = b"" if before.endswith(b"\n") or not before else b"\n"
    with target.open("ab") as stream:
        stream.write(separator + text.encode())
