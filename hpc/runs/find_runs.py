"""Find the runs under a run root."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from hpc.run.model import Run
from hpc.run.run_folder import copied_run, load, read_run_id
from hpc.runs.unusable_runs import UnusableRun, find_unusable, list_folders
from pipeline.errors import InputError, RunError
from pipeline.run_files import manifest


def find(run_root: Path, wanted: str | None) -> Run:
    """Return the run of a folder or an id; without one, the newest under `run_root`.

    Human codings are imported while classification runs are under way, and nothing can be done
    about them. So they are the newest run only where there is no other.

    Raises:
        InputError: there is no such run, or another version made it.
        RunError: it is unknown which run is the newest.
    """
    if wanted is None:
        return _newest(run_root)
    for folder in (Path(wanted).expanduser().absolute(), run_root / wanted):
        if (folder / manifest.FILE_NAME).is_file():
            return load(folder)
    for unusable in find_unusable(run_root):
        if unusable.folder.name == Path(wanted).name:
            raise RunError(str(unusable))
    raise InputError(f"there is no run {wanted}, neither as a folder nor under {run_root}")


def _newest(run_root: Path) -> Run:
    newest_codings: Run | None = None
    unusable = find_unusable(run_root)
    for folder in reversed(_folders(run_root)):
        if copied_run(folder) is not None:
            continue
        _reject_newer(unusable, folder.name)
        run = load(folder)
        if not run.manifest.is_coded_by_people:
            return run
        newest_codings = newest_codings or run
    _reject_newer(unusable, "")
    if newest_codings is None:
        raise InputError(
            f"there is no run under {run_root}: create one with hpc submit --config FILE, or "
            "name another place with --run-root or --config"
        )
    return newest_codings


def _reject_newer(unusable: Sequence[UnusableRun], name: str) -> None:
    """Raise an error if a run that cannot be read is newer than the folder of this name."""
    for each in reversed(unusable):
        if each.folder.name > name:
            raise RunError(f"{each}. Or name a run in the command")


def all_runs(run_root: Path) -> list[Path]:
    """Return the folders of all runs, oldest first: a run's id begins with its time.

    Copies of runs beside their originals are left out; `find_copies` names them.
    """
    return [folder for folder in _folders(run_root) if copied_run(folder) is None]


def find_copies(run_root: Path) -> list[str]:
    """Return a sentence for each folder that is a copy of a run beside it."""
    return [
        f"{folder} is a copy of run {run_id} next to it and is left out: move it out of {run_root}"
        for folder in _folders(run_root)
        if (run_id := copied_run(folder)) is not None
    ]


def _folders(run_root: Path) -> list[Path]:
    """Return the folders under the run root that have a manifest, oldest first."""
    age: dict[Path, tuple[str, int]] = {}
    for folder in list_folders(run_root):
        with contextlib.suppress(OSError):  # `find_unusable` names it
            changed_at = (folder / manifest.FILE_NAME).stat().st_mtime_ns
            # The id has the second; within it, the time of the manifest decides.
            age[folder] = folder.name.split("-")[0], changed_at
    return sorted(age, key=lambda folder: age[folder])


def named(run_root: Path, name: str) -> list[Run]:
    """Return the runs of a name, oldest first.

    Raises:
        InputError: another version made a run that may be of that name, or it was renamed.
        RunError: a run that may be of that name cannot be read.
    """
    runs, unusable = find_named(run_root, name)
    for each in unusable:
        raise each.error or RunError(str(each))
    return runs


def find_named(run_root: Path, name: str) -> tuple[list[Run], list[UnusableRun]]:
    """Return the runs of a name, oldest first, and those that may be and cannot be read.

    Raises:
        UnreadableError: the run root cannot be read now.
    """
    runs: list[Run] = []
    unusable = find_unusable(run_root)
    for folder in all_runs(run_root):
        try:
            run = load(folder)
        except (InputError, RunError, OSError) as error:
            unusable.append(UnusableRun(folder, str(error), error, read_run_id(folder)))
        else:
            runs += [run] if run.manifest.name == name else []
    return runs, [each for each in unusable if each.may_be_of(name)]
