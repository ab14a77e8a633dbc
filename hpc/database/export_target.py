"""Check where an export may be written: not into a run, over posts, or where posts are read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from hpc.config.recorded_settings import recorded_backlog
from hpc.run.model.run import Run
from pipeline.backlog import own_files
from pipeline.backlog.file_formats import FileFormat
from pipeline.backlog.own_files import LABEL_COLUMNS
from pipeline.backlog.recognize_file import recognize_file
from pipeline.backlog.selects_path import selects
from pipeline.config.sections import Backlog
from pipeline.database.export_labels import format_of
from pipeline.errors import InputError
from pipeline.messages.options import COLUMNS, REPLACE, TO
from pipeline.run_files import manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownBacklog:
    """A backlog that a configuration names."""

    backlog: Backlog
    folders: tuple[Path, ...]
    """The folders that a relative source may start from."""


def export_target(to: str | PathLike[str], *, replaces: bool) -> Path:
    """Return the absolute path of the file to write.

    Args:
        to: the file as a person names it, with ~ or relative to the working folder.
        replaces: whether an existing file may be replaced.

    Raises:
        InputError: its name ends like no format, or it must not be written there.
    """
    format_of(Path(to))
    target = Path(to).expanduser().absolute()
    _check_place(target, replaces=replaces)
    return target


def _check_place(target: Path, *, replaces: bool) -> None:
    if not target.parent.is_dir():
        raise InputError(f"{TO.set_to(target)}: there is no folder {target.parent}")
    if target.is_dir():
        raise InputError(f"{TO.set_to(target)}: this is a folder; name a file in it")
    for folder in target.parents:
        if (folder / manifest.FILE_NAME).is_file():
            raise InputError(
                f"{TO.set_to(target)}: {folder} is the folder of a run; write elsewhere"
            )
    if target.exists() and not replaces:
        raise InputError(f"{TO.set_to(target)}: the file exists. To replace it, add {REPLACE.on}")


def check_not_posts(target: Path, columns: Sequence[str], backlogs: Iterable[KnownBacklog]) -> None:
    """Raise InputError if the file would replace posts, or the next submit would read it as posts.

    Files in the folder of a source are recognized as exports by two of their columns.

    Args:
        target: the file.
        columns: the columns that it will have; empty for all.
        backlogs: where posts are read from.
    """
    chosen = {column.lower() for column in columns}
    is_recognized = not chosen or chosen >= set(LABEL_COLUMNS)
    for known in backlogs:
        if not selects(known.backlog, known.folders, target):
            continue
        if target.exists() and not _is_export(target, known.backlog):
            raise InputError(f"{TO.set_to(target)}: this is a file of the source; write elsewhere")
        if not is_recognized:
            raise InputError(
                f"{TO.set_to(target)}: hpc submit would read this file as posts, because it is in "
                f"backlog.source, {known.backlog.source}. Write elsewhere, or add "
                f"{' and '.join(LABEL_COLUMNS)} to {COLUMNS}, by which exports are recognized"
            )


def _is_export(path: Path, backlog: Backlog) -> bool:
    """Tell whether an existing file is an export, and holds no posts."""
    recognized, head = recognize_file(path, backlog.columns.values())
    return isinstance(recognized, FileFormat) and own_files.holds_labels(path, recognized, head)


def backlogs_of(runs: Sequence[Run], folders: tuple[Path, ...]) -> Iterator[KnownBacklog]:
    """Yield the backlog of the newest run of each name.

    Args:
        runs: the runs, oldest first.
        folders: the folders that a relative source may start from.
    """
    newest = {run.manifest.name: run for run in runs}
    for run in newest.values():
        backlog = recorded_backlog(run)
        if backlog is not None:
            yield KnownBacklog(backlog=backlog, folders=folders)
