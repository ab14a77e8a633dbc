"""Which outputs of a run verify, opening no more files than have changed since the last look.

10,000 footers take some seconds on a shared file system, and `status` is asked often. What was
verified is remembered beside the run by size, time and inode, with what its answers cost; the
memory may be deleted.
"""

import contextlib
import json
import os
from collections.abc import Container, Iterator
from pathlib import Path

from hpc.run.model import Run
from pipeline import cost_columns, files
from pipeline.run_files import output
from pipeline.run_files.manifest import output_path
from pipeline.run_files.output import Verdict

MEMORY = ".seen-outputs.json"

_Stamp = list[int]  # size, time of change, inode
_Seen = dict[str, tuple[_Stamp, Verdict]]


def verify_outputs(run: Run) -> tuple[Verdict, ...]:
    """One verdict a shard, in the order of the shards."""
    shards = run.manifest.shards
    remembered = _remembered(run.folder)
    names = {output_path(run.folder, shard.index).name: shard.index for shard in shards}
    verdicts = [Verdict()] * len(shards)
    seen: _Seen = {}
    for name, stamp in _stamps(run.folder / "outputs", names):
        index = names[name]
        before, verdict = remembered.get(name, (None, Verdict()))
        if before != stamp:
            verdict = output.verify(run.folder, run.manifest, index)
        verdicts[index] = verdict
        if verdict.verified:
            seen[name] = stamp, verdict
    if seen != remembered:
        _remember(run.folder, seen)
    return tuple(verdicts)


def quarantine(run: Run, index: int) -> Path:
    """Renames an output whose pages are damaged, so that the shard counts as not done."""
    path = output_path(run.folder, index)
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    return aside


def _stamps(folder: Path, names: Container[str]) -> Iterator[tuple[str, _Stamp]]:
    """Size, time and inode of those files of `folder` that are there; tasks rename and a person
    deletes while we look, and what goes away must not take the others along."""
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


def _remembered(folder: Path) -> _Seen:
    try:
        values = json.loads((folder / MEMORY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {
        name: (one[:3], Verdict(publication=str(one[3]), counts=cost_columns.read(one[4])))
        for name, one in values.items()
        # An older version's four say nothing of the cost: looked at once more.
        if isinstance(one, list) and len(one) == 5
    }


def _remember(folder: Path, seen: _Seen) -> None:
    values = {name: [*stamp, one.publication, one.counts] for name, (stamp, one) in seen.items()}
    # Only a memory: a reader without the right to write, or a full disk, does without.
    with contextlib.suppress(OSError):
        files.write_text(folder / MEMORY, json.dumps(values, separators=(",", ":")))
