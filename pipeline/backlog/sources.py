"""Find a backlog's files by their content, and account for everything else that lies there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from pipeline.backlog import own_files
from pipeline.backlog.describe_nothing import describe_nothing
from pipeline.backlog.file_formats import (
    DATABASES,
    Empty,
    FileFormat,
    SourceFile,
    SourceKind,
    Unreadable,
)
from pipeline.backlog.left_out import LeftOut, WhyLeftOut
from pipeline.backlog.path_patterns import IgnorePatterns, SourceGlob, split_glob
from pipeline.backlog.recognize_file import recognize_file
from pipeline.backlog.walk_folder import FolderContent, describe_unreadable
from pipeline.config.sections import Backlog
from pipeline.errors import InputError
from pipeline.text import counted

__all__ = ["DATABASES", "Source", "SourceFile", "SourceKind", "find_source"]

_MOST_PROBLEMS_SHOWN = 5
# What SQLite and DuckDB keep beside a database that is in use.
_BESIDE_DATABASES = ("-wal", "-shm", "-journal", ".wal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The files of a backlog: databases of one kind, or files of any other kinds."""

    source_files: tuple[SourceFile, ...]
    """The files, sorted by name; none if all files are empty."""
    backlog: Backlog
    left_out: tuple[LeftOut, ...] = ()
    """What was found beside the files, and is not read."""
    notes: tuple[str, ...] = ()
    """What a person should know, such as a pattern that matches nothing."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The paths of the files."""
        return tuple(file.path for file in self.source_files)

    @property
    def kinds(self) -> tuple[SourceKind, ...]:
        """The kinds of the files, each once."""
        present = {file.kind for file in self.source_files}
        return tuple(kind for kind in SourceKind if kind in present)

    def select(self, paths: Sequence[Path] | None) -> tuple[SourceFile, ...]:
        """Return the files with these paths; all files if there are no paths."""
        if paths is None:
            return self.source_files
        wanted = set(paths)
        return tuple(file for file in self.source_files if file.path in wanted)

    def __str__(self) -> str:
        if len(self.source_files) == 1:
            return str(self.source_files[0].path)
        return f"{self.backlog.source} ({len(self.source_files)} files)"


@dataclass(kw_only=True, slots=True)
class _Inspection:
    """What the files of one folder, glob or file turned out to be."""

    files: list[SourceFile] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    problems: dict[Path, str] = field(default_factory=dict)
    """Why files that look like data cannot be read."""

    def leave_out(self, path: Path, why: WhyLeftOut) -> None:
        self.left_out.append(LeftOut(path=path, why=why))

    @property
    def is_useful(self) -> bool:
        """Whether there is data, or a file that may get some."""
        empty = any(each.why is WhyLeftOut.EMPTY for each in self.left_out)
        return bool(self.files or self.problems or empty)


def find_source(
    backlog: Backlog, folders: tuple[Path, ...], *, database: Path | None = None
) -> Source:
    """Return the files that `backlog.source` names, looked for in each of `folders` in turn.

    Args:
        backlog: its `source` is a file, a folder or a glob.
        folders: the folders that a relative path may start from.
        database: the file of the labels, which is never a source.

    Raises:
        InputError: nothing is there, a file that looks like data cannot be read, or a database is
            beside other files.
    """
    name = Path(backlog.source).expanduser()
    tried: dict[Path, _Inspection] = {}
    for folder in dict.fromkeys(folders):
        content = _look(folder, name)
        ignore = IgnorePatterns(backlog.ignore)
        inspection = _inspect(content, ignore, backlog, database)
        if inspection.is_useful:
            break
        tried[folder / name] = inspection
    else:
        left_out = [each for inspection in tried.values() for each in inspection.left_out]
        raise InputError(describe_nothing(backlog, list(tried), left_out))
    if inspection.problems:
        raise InputError(_describe_problems(inspection.problems))
    _reject_mixed_databases(inspection.files, backlog)
    notes = [
        f"backlog.ignore: {pattern!r} matches nothing in {content.base}"
        for pattern in ignore.unmatched
    ]
    return Source(
        source_files=tuple(inspection.files),
        backlog=backlog,
        left_out=tuple(inspection.left_out),
        notes=tuple(notes),
    )


def _look(folder: Path, name: Path) -> FolderContent:
    """Return what is found at a path: a file, what is in a folder, or what matches a glob."""
    path = folder / name
    if own_files.is_in_run(path):
        raise InputError(
            f"backlog.source: {path} is in the folder of a run, which is never a source: name the "
            "files that the run's posts come from"
        )
    if path.is_dir():
        content = FolderContent(base=path)
        content.add(path)
    elif path.exists() or path.is_symlink():
        content = FolderContent(base=path.parent, is_one_file=True)
        content.add(path)
    else:
        beginning, parts = split_glob(name)
        content = FolderContent(base=folder / beginning, pattern=SourceGlob(parts))
        if parts and content.base.is_dir():
            content.add(content.base)
    return content


def _inspect(
    content: FolderContent, ignore: IgnorePatterns, backlog: Backlog, database: Path | None
) -> _Inspection:
    """Look into all files, except those that `backlog.ignore` excludes."""
    result = _Inspection()

    def is_kept(path: Path) -> bool:
        if not backlog.ignore or not ignore.match(content.relative(path)):
            return True
        result.leave_out(path, WhyLeftOut.IGNORED)
        return False

    result.left_out += [each for each in content.left_out if is_kept(each.path)]
    result.problems |= {path: why for path, why in content.problems.items() if is_kept(path)}
    present = set(content.files.values())
    for path in filter(is_kept, sorted(present, key=attrgetter("parts"))):
        if database and own_files.is_part_of_database(path, database):
            result.leave_out(path, WhyLeftOut.DATABASE)
        elif not _is_beside_database(path, present):
            _inspect_file(path, backlog, result, may_be_labels=content.is_one_file)
    for path in filter(is_kept, content.hidden):
        if not own_files.is_note(path) and _holds_data(path, backlog):
            result.leave_out(path, WhyLeftOut.HIDDEN)
    return result


def _inspect_file(
    path: Path, backlog: Backlog, result: _Inspection, *, may_be_labels: bool
) -> None:
    try:
        recognized, head = recognize_file(path, backlog.columns.values())
    except FileNotFoundError:
        result.leave_out(path, WhyLeftOut.VANISHED)
        return
    except OSError as error:
        result.problems[path] = describe_unreadable(error)
        return
    match recognized:
        case FileFormat():
            if not may_be_labels and own_files.holds_labels(path, recognized, head):
                result.leave_out(path, WhyLeftOut.LABELS)
            elif not may_be_labels and own_files.is_sample(path, recognized):
                result.leave_out(path, WhyLeftOut.SAMPLE)
            elif not may_be_labels and own_files.is_map(path):
                result.leave_out(path, WhyLeftOut.MAP)
            else:
                result.files.append(SourceFile(path=path, format=recognized))
        case Unreadable():
            result.problems[path] = f"{recognized.problem}: {recognized.advice}"
        case Empty():
            result.leave_out(path, WhyLeftOut.EMPTY)
        case _:
            result.leave_out(path, WhyLeftOut.NO_DATA)


def _holds_data(path: Path, backlog: Backlog) -> bool:
    """Tell whether a hidden file holds data; most hidden files are notes of programs."""
    try:
        recognized, _ = recognize_file(path, backlog.columns.values())
    except OSError:
        return False
    return isinstance(recognized, FileFormat)


def _is_beside_database(path: Path, present: set[Path]) -> bool:
    name = path.name
    return name.endswith(_BESIDE_DATABASES) and any(
        path.with_name(name.removesuffix(ending)) in present
        for ending in _BESIDE_DATABASES
        if name.endswith(ending)
    )


def _reject_mixed_databases(files: Sequence[SourceFile], backlog: Backlog) -> None:
    """Raise InputError if there are files of another kind beside a database."""
    first_of_kind = {file.kind: file.path for file in reversed(files)}
    if len(first_of_kind) == 1 or not any(kind in DATABASES for kind in first_of_kind):
        return
    (kind, path), (other, beside) = sorted(
        first_of_kind.items(), key=lambda item: (item[0] not in DATABASES, item[1])
    )[:2]
    raise InputError(
        f"backlog.source: {backlog.source} holds a database beside other files: {path} is {kind}, "
        f"{beside} is {other}; name what to read by a glob in backlog.source, or exclude the other "
        "by backlog.ignore"
    )


def _describe_problems(problems: dict[Path, str]) -> str:
    first, *more = sorted(problems.items())
    if not more:
        return (
            f"backlog.source: {first[0]} looks like data, but {first[1]}, or exclude it with "
            "backlog.ignore"
        )
    shown = [first, *more][:_MOST_PROBLEMS_SHOWN]
    rest = len(problems) - len(shown)
    lines = [f"  {path}: {problem}" for path, problem in shown]
    lines += [f"  and {counted(rest, 'more file')}"] if rest else []
    return "\n".join(
        [
            f"backlog.source: {counted(len(problems), 'file')} look like data, but cannot be read "
            "(correct them, or exclude them with backlog.ignore):",
            *lines,
        ]
    )
