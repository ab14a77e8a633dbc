"""Remember what is known of runs that are complete, so that a list of runs opens few files.

A complete run changes only by a person's hand. A file in the run root has what was seen of each,
with the times of change of its folders. Where one of these differs, the run is looked at again. The
file may be deleted.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from hpc.overview.run_row import RunRow
from pipeline import archive, files, limits
from pipeline.run_files import amendments, manifest

FILE_NAME = ".seen-runs.json"
_WATCHED = (
    manifest.FILE_NAME, amendments.FOLDER, archive.FILE_NAME,
    "shards", "outputs", "submissions", "logs", "work", "raw",
)  # fmt: skip

Stamp = tuple[int, ...]
"""The times of change of a run's folders."""


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    root: str
    """The run root. Of one that was moved or copied, the databases are elsewhere."""
    runs: dict[str, tuple[Stamp, RunRow]]


_DECODER = msgspec.json.Decoder(_Known)


def stamp_of(run_dir: Path) -> Stamp:
    """Return the times of change of a run's folders, in nanoseconds; 0 for one that is not there.

    The run's own folder is not among them: each look writes caches into it.
    """
    return tuple(_changed_at(f"{run_dir}/{name}") for name in _WATCHED)


def _changed_at(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - ten of them a run; a Path takes as long
    except OSError:
        return 0


def read_known_runs(run_root: Path) -> dict[str, tuple[Stamp, RunRow]]:
    """Return by folder what was seen of complete runs; nothing if this version cannot read it."""
    try:
        known = _DECODER.decode(limits.read_file(run_root / FILE_NAME, limits.RECORD_BYTES))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return known.runs if known.root == str(run_root.resolve()) else {}


def write_known_runs(run_root: Path, known: Mapping[str, tuple[Stamp, RunRow]]) -> None:
    """Write what was seen of complete runs, for the next list."""
    # Losing it costs only time: a reader without write access, or a full disk, does without.
    with (
        contextlib.suppress(OSError),
        files.appearing_whole(run_root / FILE_NAME, sync=False) as temporary,
    ):
        document = _Known(root=str(run_root.resolve()), runs=dict(known))
        temporary.write_bytes(msgspec.json.encode(document))
