"""Verify a run's outputs, opening no more files than have changed since the last look.

10,000 footers take some seconds on a shared file system, and `status` is called often. So a file
beside the run remembers which outputs verified, by size, time and inode, with what their answers
cost. The file may be deleted.
"""

import contextlib
import os
from collections.abc import Container, Iterator
from pathlib import Path

import msgspec

from hpc.run.model import Run
from pipeline import files
from pipeline.run_files import output
from pipeline.run_files.manifest import output_path
from pipeline.run_files.output import Verdict

MEMORY = ".seen-outputs.json"

_Stamp = list[int]  # size, time of change, inode
_Known = dict[str, tuple[_Stamp, Verdict]]
_Memory = dict[str, tuple[int, int, int, str, dict[str, int]]]


class OutputFolder:
    """The outputs of a run during one look at it.

    The memory is read once. `verify` may be called again, since tasks publish while we look; each
    call opens only the outputs that did not verify before, or have changed. `remember` keeps what
    was verified.
    """

    def __init__(self, run: Run) -> None:
        """Read what was remembered of the run's outputs."""
        self._run = run
        self._names = {
            output_path(run.folder, shard.index).name: shard.index for shard in run.manifest.shards
        }
        self._remembered = _remembered(run.folder)
        self._known = self._remembered

    def verify(self) -> tuple[Verdict, ...]:
        """Return one verdict per shard, in the order of the shards."""
        verdicts = [Verdict()] * len(self._names)
        known: _Known = {}
        for name, stamp in _stamps(self._run.folder / "outputs", self._names):
            index = self._names[name]
            before, verdict = self._known.get(name, (None, Verdict()))
            if before != stamp:
                verdict = output.verify(self._run.folder, self._run.manifest, index)
            verdicts[index] = verdict
            if verdict.verified:
                known[name] = stamp, verdict
        self._known = known
        return tuple(verdicts)

    def remember(self) -> None:
        """Write down which outputs verify, for the next look."""
        if self._known != self._remembered:
            _remember(self._run.folder, self._known)


def verify_outputs(run: Run) -> tuple[Verdict, ...]:
    """Return one verdict per shard, in the order of the shards."""
    folder = OutputFolder(run)
    verdicts = folder.verify()
    folder.remember()
    return verdicts


def quarantine(run: Run, index: int) -> Path:
    """Rename an output whose pages are damaged, so that its shard counts as not done."""
    path = output_path(run.folder, index)
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    return aside


def _stamps(folder: Path, names: Container[str]) -> Iterator[tuple[str, _Stamp]]:
    """Yield size, time and inode of those files of `folder` that exist.

    Tasks rename files and people delete them meanwhile; a file that is gone is left out.
    """
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            if entry.name not in names:
                continue
            try:
                stat = entry.stat()
            except FileNotFoundError:
                continue
            yield entry.name, [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _remembered(folder: Path) -> _Known:
    """Return what an earlier look remembered; nothing of a file that this version cannot read."""
    try:
        values = msgspec.json.decode((folder / MEMORY).read_bytes(), type=_Memory)
    except (OSError, msgspec.MsgspecError):
        return {}
    return {
        name: ([size, changed_at, inode], Verdict(publication=publication, counts=counts))
        for name, (size, changed_at, inode, publication, counts) in values.items()
    }


def _remember(folder: Path, known: _Known) -> None:
    values = {
        name: [*stamp, verdict.publication, verdict.counts]
        for name, (stamp, verdict) in known.items()
    }
    # Losing it costs only time: a reader without write access, or a full disk, does without.
    with contextlib.suppress(OSError):
        files.write_text(folder / MEMORY, msgspec.json.encode(values).decode())
