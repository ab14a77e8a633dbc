"""Verify a run's outputs, opening no more files than have changed since the last look.

10,000 footers take some seconds on a shared file system, and `status` is called often. So a file
beside the run remembers which outputs verified, by size, time and inode, with what their answers
cost. The file may be deleted.

An output that cannot be read now is looked at once more after a pause, and then has a result that
says so. It never counts as missing.
"""

import contextlib
import os
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from hpc.run.model.run import Run
from pipeline import files
from pipeline.archive import archive_path, is_archived
from pipeline.errors import InputError
from pipeline.run_files import output
from pipeline.run_files.json_record import parse_values, read_content
from pipeline.run_files.manifest import output_name
from pipeline.run_files.output import OutputCheck

MEMORY = ".seen-outputs.json"
# One pause for all outputs: where a file system fails, it may fail for thousands of them.
PAUSE_S = 0.3

_Stamp = list[int]  # size, time of change, inode
_Known = dict[str, tuple[_Stamp, OutputCheck]]
# Of an output that the caller has verified, which publication it is does not matter here.
_VERIFIED = OutputCheck(publication="verified")
_Memory = dict[
    str, tuple[int, int, int, str, dict[str, int], int, dict[str, int] | None, int, float | None]
]


class OutputFolder:
    """The outputs of a run during one look at it.

    The memory is read once, if it is needed. `verify` may be called again, since tasks publish
    while we look. It opens only the outputs that did not verify before, or have changed since the
    last look; within this one, what has verified stays so. `remember` keeps what was verified.
    """

    def __init__(self, run: Run, *, without: Collection[int] = ()) -> None:
        """Look at nothing yet.

        Args:
            run: the run.
            without: shards whose outputs the caller has verified, by all of their bytes. Their
                results say only that.
        """
        self._run = run
        self._without = without
        self._names = {
            output_name(shard.index): shard.index
            for shard in run.manifest.shards
            if shard.index not in without
        }
        self._remembered: _Known | None = None
        self._known: _Known = {}
        self._verified: frozenset[str] = frozenset()

    def verify(self) -> tuple[OutputCheck, ...]:
        """Return what each shard's output shows, in the order of the shards."""
        checks = [OutputCheck()] * len(self._run.manifest.shards)
        for index in self._without:
            checks[index] = _VERIFIED
        listed = _list_present(self._run.folder / "outputs", self._names)
        known = {name: self._known[name] for name in listed if name in self._verified}
        for name, (_, check) in known.items():
            checks[self._names[name]] = check
        new = [name for name in listed if name not in known]
        unreadable = self._examine(new, known, checks) if new else []
        if unreadable:
            time.sleep(PAUSE_S)
            self._examine(unreadable, known, checks)
        self._known = known
        self._verified = frozenset(known)
        return tuple(checks)

    def _examine(self, names: Iterable[str], known: _Known, checks: list[OutputCheck]) -> list[str]:
        """Fill in what these files show; return those to look at once more."""
        unreadable = []
        if self._remembered is None:
            self._known = self._remembered = _remembered(self._run.folder)
        folder = str(self._run.folder / "outputs")
        archived = _stamp(str(archive_path(self._run.folder)))
        for name in names:
            index = self._names[name]
            stamp = _stamp(f"{folder}/{name}") or archived
            before, check = self._known.get(name, (None, OutputCheck()))
            if stamp is None or stamp != before:
                check = output.verify(self._run.folder, self._run.manifest, index, pauses=())
            checks[index] = check
            if check.verified and stamp:
                known[name] = stamp, check
            if check.unreadable and not check.needs_person:
                unreadable.append(name)
        return unreadable

    def remember(self) -> None:
        """Write down which outputs verify, for the next look."""
        if self._remembered is None:
            return
        left_out = {output_name(index) for index in self._without} & self._remembered.keys()
        known = {name: self._remembered[name] for name in left_out} | self._known
        if known != self._remembered:
            _remember(self._run.folder, known)


def verify_outputs(run: Run, *, without: Collection[int] = ()) -> tuple[OutputCheck, ...]:
    """Return what each shard's output shows, in the order of the shards. `without` is as above."""
    folder = OutputFolder(run, without=without)
    checks = folder.verify()
    folder.remember()
    return checks


def _list_present(folder: Path, names: Mapping[str, int]) -> list[str]:
    """Return those of these names that a folder has; all of them if it cannot be listed now."""
    if is_archived(folder.parent):
        return [name for name in files.names_in(folder) if name in names]
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.name in names]
    except FileNotFoundError:
        return list(names) if folder.is_symlink() else []
    except OSError:
        return list(names)


def _stamp(path: str) -> _Stamp | None:
    """Return size, time and inode of a file; None if they cannot be read, or it is gone."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - of 10,000 files; a Path takes as long again
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _remembered(folder: Path) -> _Known:
    """Return what an earlier look remembered; nothing of a file that this version cannot read."""
    try:
        values = parse_values(read_content(folder / MEMORY), _Memory, source=MEMORY)
    except (OSError, InputError):
        return {}
    return {
        name: (
            [size, changed_at, inode],
            OutputCheck(
                publication=publication,
                counts=counts,
                attempt=attempt,
                unlabelable=unlabelable,
                copied=copied,
                peak_mb=peak_mb,
            ),
        )
        for name, (
            size, changed_at, inode, publication, counts, attempt, unlabelable, copied, peak_mb,
        ) in values.items()
    }  # fmt: skip


def _remember(folder: Path, known: _Known) -> None:
    values = {
        name: [
            *stamp,
            check.publication,
            check.counts,
            check.attempt,
            check.unlabelable,
            check.copied,
            check.peak_mb,
        ]
        for name, (stamp, check) in known.items()
    }
    # Losing it costs only time: a reader without write access, or a full disk, does without.
    with contextlib.suppress(OSError):
        files.write_text(folder / MEMORY, msgspec.json.encode(values).decode())
