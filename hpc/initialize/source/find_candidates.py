"""Find the files in a folder that posts may come from."""

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.backlog import own_files
from pipeline.backlog.file_formats import DATABASES, FileFormat, SourceFile
from pipeline.backlog.path_patterns import is_hidden
from pipeline.backlog.recognize_content import kind_by_name
from pipeline.backlog.recognize_file import recognize_file
from pipeline.config.sections import SOURCE_COLUMNS

# A project's folder holds its data a few levels deep. A home folder holds a million files.
_DEEPEST = 4
_MOST_ENTRIES = 20_000
_MOST_FILES = 400
_LONGEST_S = 5.0
# Files of other programs that look like data.
_NOT_POSTS = ("package.json", "package-lock.json", "tsconfig.json", "composer.json")
_FOLDERS_OF_PROGRAMS = ("node_modules", "site-packages", "__pycache__")
_VENV = "pyvenv.cfg"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One or several files that may be the source."""

    source: str
    """A path relative to the folder, or a glob."""
    files: tuple[SourceFile, ...]


def find_candidates(folder: Path) -> tuple[tuple[Candidate, ...], bool]:
    """Return what in a folder may hold posts, and whether all of the folder was looked at.

    A database is a candidate by itself. Files of one kind and ending that lie in the same
    subfolder, or that are numbered parts of each other in `folder` itself, are one candidate.

    Args:
        folder: the project's folder. What is hidden, and what this program wrote, is left out.
    """
    walk = _Walk(folder)
    files = list(walk.files())
    by_group: dict[tuple[str, ...], list[SourceFile]] = defaultdict(list)
    for file in files:
        by_group[_group(folder, file)].append(file)
    candidates = [_candidate(folder, group) for group in by_group.values()]
    return tuple(sorted(candidates, key=lambda each: each.source)), walk.is_complete


def _group(folder: Path, file: SourceFile) -> tuple[str, ...]:
    parts = file.path.relative_to(folder).parts
    suffixes = "".join(file.path.suffixes[-2:])
    if file.kind in DATABASES or len(parts) == 1:
        return parts
    return parts[0], str(file.kind), suffixes


def _candidate(folder: Path, files: Sequence[SourceFile]) -> Candidate:
    first = files[0].path.relative_to(folder)
    if len(files) == 1:
        return Candidate(source=str(first), files=tuple(files))
    endings = {file.path.suffix for file in files}
    ending = endings.pop() if len(endings) == 1 else ""
    is_flat = all(len(file.path.relative_to(folder).parts) == 2 for file in files)
    middle = "" if is_flat else "**/"
    return Candidate(source=f"{_escape(first.parts[0])}/{middle}*{ending}", files=tuple(files))


def _escape(name: str) -> str:
    """Return a folder's name as a glob matches it."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


class _Walk:
    """Walks a folder, level by level, as long as that is quick."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends = time.monotonic() + _LONGEST_S
        self._entries = 0
        self.is_complete = True

    def files(self) -> Iterator[SourceFile]:
        """Yield the files with data, at most `_MOST_FILES`."""
        number = 0
        for path in self._paths():
            if number == _MOST_FILES:
                self.is_complete = False
                return
            if file := _recognize(path):
                number += 1
                yield file

    def _paths(self) -> Iterator[Path]:
        level = [self._folder]
        for _ in range(_DEEPEST):
            below: list[Path] = []
            for folder in level:
                entries = self._entries_of(folder)
                below += [path for path, is_folder in entries.items() if is_folder]
                # Names that say what they are come first, in case there are too many.
                paths = [path for path, is_folder in entries.items() if not is_folder]
                yield from sorted(paths, key=lambda path: (not kind_by_name(path.name), path))
            level = below
        self.is_complete = self.is_complete and not level

    def _entries_of(self, folder: Path) -> Mapping[Path, bool]:
        """Return what is in a folder, and whether it is a folder; links are not followed into."""
        found: dict[Path, bool] = {}
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._entries += 1
                    if self._entries > _MOST_ENTRIES or time.monotonic() > self._ends:
                        self.is_complete = False
                        break
                    if not is_hidden(entry.name):
                        found[folder / entry.name] = entry.is_dir(follow_symlinks=False)
        except OSError:  # not ours to read
            return {}
        names = {path.name for path in found}
        is_of_program = folder.name in _FOLDERS_OF_PROGRAMS or _VENV in names
        if folder != self._folder and (is_of_program or own_files.is_run(folder, names)):
            return {}
        return dict(sorted(found.items()))


def _recognize(path: Path) -> SourceFile | None:
    if path.name in _NOT_POSTS or path.suffix in (".yaml", ".yml", ".py", ".md", ".ipynb"):
        return None
    try:
        path.name.encode()
        recognized, head = recognize_file(path, SOURCE_COLUMNS)
    except (OSError, UnicodeEncodeError):
        return None
    if not isinstance(recognized, FileFormat):
        return None
    file = SourceFile(path=path, format=recognized)
    is_own = (
        own_files.holds_labels(path, recognized, head)
        or own_files.is_sample(path, recognized)
        or own_files.is_map(path)
    )
    return None if is_own else file
