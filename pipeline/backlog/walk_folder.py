"""Find the files of a folder at any depth, and what cannot be entered or read there.

No file is opened here, so that a pipe cannot block.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.backlog import own_files
from pipeline.backlog.left_out import LeftOut, WhyLeftOut
from pipeline.backlog.path_patterns import SourceGlob, is_hidden
from pipeline.backlog.recognize_content import kind_by_name

# A hidden folder may be a snapshot of everything. So many of its files are looked at, to tell
# whether it holds data.
_MOST_HIDDEN_FILES = 100
_LEADS_NOWHERE = (errno.ENOENT, errno.ELOOP)

# Device, inode, size and time of change. Some file systems use an inode twice.
_FileId = tuple[int, int, int, int]


@dataclass(kw_only=True, slots=True)
class FolderContent:
    """Collects what is found in a folder."""

    base: Path
    """The folder."""
    pattern: SourceGlob | None = None
    """Selects files by their paths relative to the folder; None selects all."""
    is_one_file: bool = False
    """Whether a file was named, and not a folder or a glob."""
    files: dict[_FileId, Path] = field(default_factory=dict)
    """The files, each once, however many links lead to it."""
    hidden: list[Path] = field(default_factory=list)
    """Files with a name, or in a folder with a name, that begins with `.` or `_`."""
    left_out: list[LeftOut] = field(default_factory=list)
    """What is no file, folders that the pattern names, and the folders of runs."""
    problems: dict[Path, str] = field(default_factory=dict)
    """What cannot be read, with the reason as a clause."""
    entered: set[Path] = field(default_factory=set)
    """The folders that were entered, without links, because links may form a circle."""

    def relative(self, path: Path) -> tuple[str, ...]:
        """Return the parts of a path below the folder."""
        return path.relative_to(self.base).parts

    def add(self, path: Path) -> None:
        """Add a file, or the files of a folder that the pattern selects.

        Nothing is raised: what cannot be read becomes a problem.
        """
        waiting = [path]
        while waiting:
            waiting += self._add(waiting.pop())

    def _add(self, path: Path) -> list[Path]:
        """Add a file; of a folder, return what is in it."""
        try:
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                return self._enter(path)
        except OSError as error:
            self._add_failure(path, error)
            return []
        if self._selects(path):
            self._add_file(path, status)
        return []

    def _selects(self, path: Path) -> bool:
        return self.pattern is None or self.pattern.matches(self.relative(path))

    def _add_file(self, path: Path, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            self.left_out.append(LeftOut(path=path, why=WhyLeftOut.NO_FILE))
            return
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        self.files[key] = min(path, self.files.get(key, path))

    def _enter(self, folder: Path) -> list[Path]:
        """Return what is in a folder and is neither hidden nor a run; each folder is entered once.

        Raises:
            OSError: it cannot be read.
        """
        if not self._leads_into(folder):
            if self._selects(folder):
                self.left_out.append(LeftOut(path=folder, why=WhyLeftOut.FOLDER))
            return []
        real = folder.resolve()
        if real in self.entered:
            return []
        self.entered.add(real)
        names = sorted(os.listdir(folder))  # noqa: PTH208 - 10 times as fast as iterdir
        if own_files.is_run(folder, set(names)):
            self.left_out.append(LeftOut(path=folder, why=WhyLeftOut.RUN))
            return []
        hidden = {name for name in names if self._hides(name)}
        for name in sorted(hidden):
            self.hidden += filter(self._selects, _hidden_files(folder / name))
        return [folder / name for name in names if name not in hidden]

    def _leads_into(self, folder: Path) -> bool:
        return self.pattern is None or self.pattern.leads_into(self.relative(folder))

    def _hides(self, name: str) -> bool:
        return is_hidden(name) and not (self.pattern and self.pattern.names_hidden(name))

    def _add_failure(self, path: Path, error: OSError) -> None:
        if not self._selects(path) and not self._leads_into(path):
            return
        if path.is_symlink() and error.errno in _LEADS_NOWHERE:
            if kind_by_name(path.name):
                self.problems[path] = "it is a link that leads nowhere: restore what it leads to"
            else:
                self.left_out.append(LeftOut(path=path, why=WhyLeftOut.BROKEN_LINK))
        elif isinstance(error, FileNotFoundError):
            self.left_out.append(LeftOut(path=path, why=WhyLeftOut.VANISHED))
        else:
            self.problems[path] = describe_unreadable(error)


def describe_unreadable(error: OSError) -> str:
    """Return a clause that says why a file or a folder cannot be read, and what to do."""
    return f"it cannot be read ({error.strerror}): make it readable"


def _hidden_files(path: Path) -> Iterator[Path]:
    """Yield a hidden file, or some of the files of a hidden folder."""
    if path.is_file():
        yield path
    if own_files.is_planned_run(path) or path.is_symlink():
        return
    number = 0
    for root, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            number += 1
            if number > _MOST_HIDDEN_FILES:
                return
            file = Path(root, name)
            if file.is_file():
                yield file
