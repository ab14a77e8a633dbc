"""Tell whether a source includes a path, before there is a file."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.backlog.path_patterns import IgnorePatterns, SourceGlob, is_hidden, split_glob
from pipeline.config.sections import Backlog


def selects(backlog: Backlog, folders: Sequence[Path], path: Path) -> bool:
    """Return True if a file at this path would be one of the source, as `find_source` looks for it.

    Args:
        backlog: its `source` is a file, a folder or a glob.
        folders: the folders that a relative source may start from.
        path: the file, which need not exist; its folder does.
    """
    real = path.parent.resolve() / path.name
    name = Path(backlog.source).expanduser()
    return any(_selects(backlog, folder, name, real) for folder in folders)


def _selects(backlog: Backlog, folder: Path, name: Path, path: Path) -> bool:
    source = folder / name
    base, pattern = source, None
    if not source.exists():
        beginning, parts = split_glob(name)
        base, pattern = folder / beginning, SourceGlob(parts) if parts else None
    base = base.resolve()
    if base == path:
        return True
    if not base.is_dir() or not path.is_relative_to(base):
        return False
    below = path.relative_to(base).parts
    if IgnorePatterns(backlog.ignore).match(below):
        return False
    hidden = filter(is_hidden, below)
    if pattern is None:
        return not any(hidden)
    return pattern.matches(below) and all(map(pattern.names_hidden, hidden))
