"""Match the paths of files with globs: those of `backlog.source` and of `backlog.ignore`."""

import fnmatch
from collections.abc import Sequence
from glob import has_magic
from pathlib import PurePath

_ANY_FOLDERS = "**"
_HIDDEN = (".", "_")


class SourceGlob:
    """A glob that selects files below a folder. `**` stands for any number of folders."""

    def __init__(self, parts: Sequence[str]) -> None:
        """Keep the parts of the glob that follow the folder."""
        self._parts = tuple(parts)

    def matches(self, path: Sequence[str]) -> bool:
        """Tell whether the glob selects the file with this path, relative to the folder."""
        return _match(self._parts, path, whole=True)

    def leads_into(self, folder: Sequence[str]) -> bool:
        """Tell whether the glob can select anything that is in a folder."""
        return _leads_into(self._parts, folder)

    def names_hidden(self, name: str) -> bool:
        """Tell whether the glob asks for a hidden name, as `.old/*.csv` asks for `.old`."""
        return any(
            part.startswith(_HIDDEN) and fnmatch.fnmatchcase(name, part) for part in self._parts
        )


class IgnorePatterns:
    """The globs of `backlog.ignore`, and which of them have matched anything.

    A glob that matches a folder matches all that is in it.
    """

    def __init__(self, globs: Sequence[str]) -> None:
        """Split the globs into their parts."""
        self._globs = {glob: PurePath(glob).parts for glob in globs}
        self._unmatched = dict.fromkeys(globs)

    def match(self, path: Sequence[str]) -> bool:
        """Tell whether any glob matches a relative path, or a folder that it is in."""
        matching = [glob for glob, parts in self._globs.items() if _match(parts, path, whole=False)]
        for glob in matching:
            self._unmatched.pop(glob, None)
        return bool(matching)

    @property
    def unmatched(self) -> tuple[str, ...]:
        """The globs that have matched nothing so far."""
        return tuple(self._unmatched)


def split_glob(path: PurePath) -> tuple[PurePath, tuple[str, ...]]:
    """Return the folder with which a path begins, and the parts from its first wildcard on."""
    parts = path.parts
    literal = next((n for n, part in enumerate(parts) if has_magic(part)), len(parts))
    return PurePath(*parts[:literal]), parts[literal:]


def is_hidden(name: str) -> bool:
    """Return True for names such as `.ipynb_checkpoints` or Spark's `_temporary`."""
    return name.startswith(_HIDDEN)


def _match(glob: Sequence[str], path: Sequence[str], *, whole: bool) -> bool:
    """Tell whether a glob matches a path; if not `whole`, the beginning of the path is enough."""
    if not glob:
        return not path or not whole
    if glob[0] == _ANY_FOLDERS:
        if len(glob) == 1:
            return bool(path)
        return any(_match(glob[1:], path[start:], whole=whole) for start in range(len(path)))
    return (
        bool(path)
        and fnmatch.fnmatchcase(path[0], glob[0])
        and _match(glob[1:], path[1:], whole=whole)
    )


def _leads_into(glob: Sequence[str], folder: Sequence[str]) -> bool:
    if not glob or glob[0] == _ANY_FOLDERS:
        return bool(glob)
    if not folder:
        return True
    return fnmatch.fnmatchcase(folder[0], glob[0]) and _leads_into(glob[1:], folder[1:])
