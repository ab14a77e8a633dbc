"""Write a shard's answers as parts, and tell from the names of parts how many there are."""

import os
import re
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from pipeline import files
from pipeline.errors import DamagedError, UnreadableError
from pipeline.late_imports import arrow_compute as pc
from pipeline.model import UNSENT
from pipeline.run_files.checkpoints import answer_journal
from pipeline.run_files.read_parquet import read_table

_PART = re.compile(r"(\d+)-.*-(\d+)\.parquet")


def rows_by_attempt(names: Iterable[str]) -> dict[int, int]:
    """Return how many rows each attempt's parts hold, from the names in a shard's work folder.

    A post counts twice if two attempts at once have asked about it. Answers that are in a journal
    only do not count here.
    """
    rows: dict[int, int] = {}
    for name in names:
        if match := _PART.fullmatch(name):
            attempt = int(match[1])
            rows[attempt] = rows.get(attempt, 0) + int(match[2])
    return rows


def holds_answers(folder: Path) -> bool:
    """Return whether any file below a folder holds an answer that was asked for.

    Posts that are never sent, such as those without text, are answered without asking. A file
    that cannot be read counts as holding answers.
    """
    unreadable: list[OSError] = []
    for place, _, names in os.walk(folder, onerror=unreadable.append):
        if any(_holds_answers(Path(place) / name) for name in names):
            return True
    return any(not isinstance(error, FileNotFoundError) for error in unreadable)


def _holds_answers(path: Path) -> bool:
    try:
        if path.suffix == answer_journal.SUFFIX:
            # It begins with its first answer, and holds only answers that were asked for.
            return path.stat().st_size > 0
        if path.suffix != ".parquet":
            return False
        reasons = read_table(path, columns=["reason"])["reason"]
    except (OSError, KeyError, UnreadableError, DamagedError):
        return True
    return not pc.all(pc.is_in(reasons, value_set=pa.array(UNSENT))).as_py()


def write_part(
    folder: Path, answers: pa.Table, *, metadata: Mapping[str, str], attempt: int
) -> Path:
    """Write answers that are there already as one part, and return its file.

    Args:
        folder: the shard's work folder; created if missing.
        answers: the answers, in `part_schema`.
        metadata: `Manifest.part_metadata`.
        attempt: the attempt's number.

    Raises:
        OSError: the disk is full, or the run's folder is not there any more.
    """
    files.make_folder_of_run(folder)
    return write_numbered_part(folder, new_prefix(attempt), 0, answers, metadata)


def new_prefix(attempt: int) -> str:
    """Return how the names of one process's files begin."""
    return f"{attempt:04d}-{uuid.uuid4().hex[:8]}"


def write_numbered_part(
    folder: Path, prefix: str, number: int, table: pa.Table, metadata: Mapping[str, str]
) -> Path:
    """Write a part whose name begins with a prefix and its number, and return its file.

    Raises:
        OSError: the disk is full, or the run's folder is not there any more.
    """
    path = folder / f"{prefix}-{number:05d}-{table.num_rows}.parquet"
    files.write_parquet(path, table.replace_schema_metadata(dict(metadata)))
    return path
