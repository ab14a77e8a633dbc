"""Refuse folders that others can write to: a run's manifest decides what its tasks run.

Whoever can change it can run programs as the user who submits. The configuration may trust a
group, but never everybody.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hpc.display.next_step import command
from hpc.run.model.run import Run
from hpc.run.submissions import record_path
from pipeline.errors import InputError
from pipeline.run_files.amendments import FOLDER
from pipeline.run_files.manifest import log_path
from pipeline.system.ownership import Writers, describe_mode, other_writers

KEY = "storage.trust_group"
_WHY = "can write to it, and can run programs as you in the tasks"


def check_root(root: Path, *, trusts_group: bool) -> None:
    """Check the folder of the runs, before a new run is made in it.

    Raises:
        InputError: others can write to it, and the configuration does not trust them; or
            everybody can replace it.
    """
    _check(root, trusts_group=trusts_group, advice=f"set {KEY}: true in the configuration")
    _check_parents(root)


def _check_parents(root: Path) -> None:
    for parent in sorted({*root.absolute().parents, *root.resolve().parents}):
        with contextlib.suppress(OSError):
            mode = parent.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise InputError(
                    f"everybody can write to {parent} ({describe_mode(parent)}), and can replace "
                    f"{root}: run chmod o-w {parent}, or name another folder in storage.run_root"
                )


def check_run(run: Run) -> None:
    """Check a run's folder and what is in it, before tasks are submitted or labels gathered.

    A run from before this key existed is trusted: it may be in progress.

    Raises:
        InputError: others can write to it, and the run does not trust them; or everybody can
            replace it.
    """
    if run.manifest.trust_group is None:
        return
    advice = f"run {command('resubmit', run, f'--set {KEY}=true')}"
    for path in _parts(run):
        _check(path, trusts_group=run.manifest.trust_group, advice=advice)
    _check_parents(run.folder.parent)


def describe_older_run(run: Run) -> str:
    """Return a note about a run from before this key existed; '' if others cannot write to it."""
    if run.manifest.trust_group is not None:
        return ""
    for path in _parts(run):
        if writers := other_writers(path):
            return (
                f"note: {writers.who} {_WHY}: {path} ({describe_mode(path)}). This run is from "
                f"an earlier version, so it continues. A new run needs {KEY}: true"
            )
    return ""


def _parts(run: Run) -> Iterator[Path]:
    """Yield the paths of a run that decide what its tasks do, or what is gathered."""
    yield run.folder.parent
    yield run.folder
    deciding = (log_path(run.folder, 0).parent, record_path(run, 0).parent, run.folder / FOLDER)
    for folder in (run.folder, *deciding):
        missing = contextlib.suppress(FileNotFoundError, NotADirectoryError)
        with missing, os.scandir(folder) as entries:
            # Names that begin with a dot are locks and caches.
            yield from sorted(Path(entry) for entry in entries if not entry.name.startswith("."))


def _check(path: Path, *, trusts_group: bool, advice: str) -> None:
    writers = other_writers(path)
    if writers is None or (trusts_group and not writers.is_everybody):
        return
    mode = describe_mode(path)
    if writers.is_everybody:
        raise InputError(
            f"{path} ({mode}): {writers.who} {_WHY}. That is never safe: run chmod -R o-w {path}"
        )
    raise InputError(f"{path} ({mode}): {writers.who} {_WHY}. {_advice(writers, path, advice)}")


def _advice(writers: Writers, path: Path, to_trust: str) -> str:
    if writers.is_owner:
        return f"If you trust them, {to_trust}"
    return f"To keep them out, run chmod -R g-w {path}. If you trust them, {to_trust}"
