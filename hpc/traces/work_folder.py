"""List the work folder of one shard: what its attempts kept, and how they ended."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from hpc.traces.file_cache import Stamp, stamp_of
from pipeline.run_files import heartbeat
from pipeline.run_files.checkpoints import answer_journal
from pipeline.run_files.checkpoints.parts import rows_by_attempt
from pipeline.run_files.manifest import work_name
from pipeline.worker.crash_journal import solo_attempts_by_attempt

_NUMBER = re.compile(r"\d+")


# Parts, heartbeats, journals of answers and of crashes, and what a killed task had begun to write.
_OF_A_TASK = re.compile(
    r"(?:\.tmp-[0-9a-f]+-)?(\d+)[-.](?:.*\.)?(?:parquet|heartbeat\.json|answers|in-hand|trial)"
)


class WorkFolder(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard's attempts left in its work folder, by their numbers."""

    rows: Mapping[int, int] = {}
    """Rows in checkpoint parts."""
    journals: Mapping[int, Mapping[str, Stamp]] = {}
    """The journals of answers that are in no part yet, with the stamps of the files."""
    solo_attempts: Mapping[int, int] = {}
    """Posts at which the attempt died while it had nothing else in hand."""
    began: frozenset[int] = frozenset()
    """Attempts that left any file."""
    heartbeats: frozenset[int] = frozenset()
    """Attempts that left a heartbeat."""


def list_work_folder(run_dir: Path, index: int) -> WorkFolder:
    """List a shard's work folder by one call; nothing of one that is not there."""
    names: list[str] = []
    stamps: dict[str, Stamp] = {}
    try:
        entries = os.scandir(f"{run_dir}/work/{work_name(index)}")
    except FileNotFoundError:
        return WorkFolder()
    with entries:
        for entry in entries:
            names.append(entry.name)
            if entry.name.endswith(answer_journal.SUFFIX) and (stamp := stamp_of(entry)):
                stamps[entry.name] = stamp
    # The name of each file begins with the attempt.
    numbers = (_NUMBER.match(name) for name in names)
    beats = map(heartbeat.attempt_of, names)
    return WorkFolder(
        rows=rows_by_attempt(names),
        journals=_needed_journals(stamps, names) if stamps else {},
        solo_attempts=solo_attempts_by_attempt(names),
        began=frozenset(int(number[0]) for number in numbers if number),
        heartbeats=frozenset(attempt for attempt in beats if attempt is not None),
    )


def _needed_journals(
    stamps: Mapping[str, Stamp], names: Sequence[str]
) -> dict[int, dict[str, Stamp]]:
    """Return the journals of answers that are in no part yet, with their stamps, by attempt."""
    journals: dict[int, dict[str, Stamp]] = {}
    for name, attempt in answer_journal.needed_journals(stamps, names).items():
        journals.setdefault(attempt, {})[name] = stamps[name]
    return journals


def attempt_of_file(name: str) -> int | None:
    """Return the attempt that wrote a file of a work folder; None for a file of somebody else."""
    match = _OF_A_TASK.fullmatch(name)
    return int(match[1]) if match else None
