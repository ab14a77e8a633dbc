"""Write the files that coders get: a spreadsheet or tasks for Label Studio, one for each coder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pyarrow as pa

from hpc.coding.assign import Assignment
from hpc.coding.codebook import CodedLabel
from hpc.coding.label_studio import Task, write_configuration, write_tasks
from hpc.coding.spreadsheet import TEXT, URI, write_csv
from hpc.database.export_target import KnownBacklog
from pipeline import files
from pipeline.backlog.selects_path import selects
from pipeline.errors import InputError
from pipeline.messages.options import OUT
from pipeline.run_files import manifest


class FileKind(StrEnum):
    """The kinds of coding files, by the ends of their names."""

    CSV = ".csv"
    TASKS = ".json"


@dataclass(frozen=True, kw_only=True, slots=True)
class CodingFiles:
    """What to write for coders."""

    kind: FileKind
    paths: Mapping[str, Path]
    """The file of each coder."""
    configuration: Path | None
    """The file of Label Studio's labeling configuration; None for spreadsheets."""

    @property
    def all_paths(self) -> list[Path]:
        """Return all files that will be written."""
        return [*self.paths.values(), *([self.configuration] if self.configuration else [])]


def name_files(target: Path, coders: Sequence[str]) -> CodingFiles:
    """Return where the files go: `target` itself for one coder, else one with each coder's name.

    Raises:
        InputError: the name ends like no coding file, or there is no such folder.
    """
    kinds = [kind for kind in FileKind if target.name.lower().endswith(kind)]
    if not kinds or target.name.lower() == kinds[0]:
        raise InputError(
            f"{OUT.set_to(target)}: the name should end in .csv for a spreadsheet, or in .json for "
            "Label Studio"
        )
    if not target.parent.is_dir():
        raise InputError(f"{OUT.set_to(target)}: there is no folder {target.parent}")
    for folder in target.parents:
        if (folder / manifest.FILE_NAME).is_file():
            raise InputError(
                f"{OUT.set_to(target)}: {folder} is the folder of a run; write elsewhere"
            )
    stem, suffix = target.stem, target.suffix
    paths = {coder: target.with_name(f"{stem}-{coder}{suffix}") for coder in coders}
    if len(coders) == 1:
        paths = {coders[0]: target}
    has_configuration = kinds[0] is FileKind.TASKS
    return CodingFiles(
        kind=kinds[0],
        paths=paths,
        configuration=target.with_suffix(".xml") if has_configuration else None,
    )


def check_not_posts(target: CodingFiles, backlogs: Iterable[KnownBacklog]) -> None:
    """Raise InputError if the next submit would read a file for coders as posts."""
    for known in backlogs:
        for path in target.all_paths:
            if selects(known.backlog, known.folders, path):
                raise InputError(
                    f"{OUT.set_to(path)}: hpc submit would read this file as posts, because it is "
                    f"in backlog.source, {known.backlog.source}. Write elsewhere"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class CodingTask:
    """What coders are asked."""

    labels: tuple[CodedLabel, ...]
    posts: pa.Table
    """uri, text, and the model's columns."""
    model_columns: tuple[str, ...]
    """The model's columns that coders may see."""
    model_name: str
    assignment: Assignment


def render(target: CodingFiles, task: CodingTask) -> dict[Path, bytes]:
    """Return the content of each file."""
    columns = [URI, TEXT, *task.model_columns]
    by_uri = {row[URI]: row for row in task.posts.select(columns).to_pylist()}
    contents: dict[Path, bytes] = {}
    for coder, path in target.paths.items():
        rows = [by_uri[uri] for uri in task.assignment.coders[coder]]
        contents[path] = _render_csv(task, rows)
        if target.kind is FileKind.TASKS:
            tasks = [
                Task(
                    uri=row[URI],
                    text=row[TEXT],
                    model={column: row[column] for column in task.model_columns},
                )
                for row in rows
            ]
            contents[path] = write_tasks(tasks, task.labels, task.model_name)
    if target.configuration:
        contents[target.configuration] = write_configuration(task.labels)
    return contents


def _render_csv(task: CodingTask, rows: Sequence[Mapping[str, object]]) -> bytes:
    shown = [f"model_{column}" for column in task.model_columns]
    header = [URI, TEXT, *shown, *(label.name for label in task.labels)]
    cells = [
        [
            row[URI],
            row[TEXT],
            *(row[column] for column in task.model_columns),
            *("" for _ in task.labels),
        ]
        for row in rows
    ]
    return write_csv(header, cells, text_columns=frozenset({URI, TEXT, *shown}))


def check_new(contents: Mapping[Path, bytes]) -> None:
    """Raise InputError if a file exists with other content: it may hold codings already."""
    for path, content in contents.items():
        _is_there(path, content)


def write(contents: Mapping[Path, bytes]) -> None:
    """Write files that must not exist yet; one with equal content stays.

    Raises:
        InputError: a file exists, and may hold codings already.
        OSError: the disk is full, or the folder is closed to this user.
    """
    for path, content in contents.items():
        if not _is_there(path, content):
            files.write_new_bytes(path, content)


def _is_there(path: Path, content: bytes) -> bool:
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        return False
    if there == content:
        return True
    raise InputError(
        f"{path} exists, and may hold codings, so it is not overwritten: name another with {OUT}"
    )
