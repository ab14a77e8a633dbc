"""Which outputs of a run verify, opening no more files than have changed since the last look.

10,000 footers take some seconds on a shared file system, and `status` is asked often. What was
verified is remembered beside the run by size, time and inode; the memory may be deleted.
"""

import contextlib
import json
import os
from collections.abc import Container, Iterator
from pathlib import Path

from hpc.model import Run
from pipeline import files, output
from pipeline.manifest import output_path
from pipeline.output import Verdict

MEMORY = ".seen-outputs.json"

_Seen = dict[str, list[int | str]]


def look(run: Run) -> tuple[Verdict, ...]:
    """One verdict a shard, in the order of the shards."""
    shards = run.manifest.shards
    remembered = _remembered(run.folder)
    names = {output_path(run.folder, shard.index).name: shard.index for shard in shards}
    verdicts = [Verdict()] * len(shards)
    seen: _Seen = {}
    for name, stamp in _stamps(run.folder / "outputs", names):
        index = names[name]
        before = remembered.get(name)
        if before and before[:-1] == stamp:
            verdict = Verdict(publication=str(before[-1]))
        else:
            verdict = output.verify(run.folder, run.manifest, index)
        verdicts[index] = verdict
        if verdict.publication is not None:
            seen[name] = [*stamp, verdict.publication]
    if seen != remembered:
        # Only a memory: a reader without the right to write, or a full disk, does without.
        with contextlib.suppress(OSError):
            files.write_text(run.folder / MEMORY, json.dumps(seen, separators=(",", ":")))
    return tuple(verdicts)


def set_aside(run: Run, index: int) -> Path:
    """Renames an output whose pages are damaged, so that the shard counts as not done."""
    path = output_path(run.folder, index)
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    return aside


def _stamps(folder: Path, names: Container[str]) -> Iterator[tuple[str, list[int | str]]]:
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
    return {name: stamp for name, stamp in values.items() if isinstance(stamp, list)}
