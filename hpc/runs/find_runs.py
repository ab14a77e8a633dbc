"""Find the runs under a run root."""

import contextlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hpc.naming.resolve import resolve
from hpc.run.model.run import Run
from hpc.run.run_folder import copied_run, load, read_run_id
from hpc.runs.unusable_runs import UnusableRun, find_unusable, list_folders
from pipeline.errors import InputError, RunError
from pipeline.messages.options import CONFIG, INDICES, RUN_ROOT
from pipeline.run_files import manifest

# How many runs a message lists.
MOST_CANDIDATES = 10
# A shorter number is hardly the beginning of an id, as all of them begin with the year.
_LEAST_OF_TIME = 4


def find(run_root: Path, wanted: str | None) -> Run:
    """Return the run that a user means; without an argument, the newest under `run_root`.

    Human codings are imported while classification runs are under way, and nothing can be done
    about them. So they are the newest run only where there is no other.

    Args:
        run_root: the folder of all runs.
        wanted: a run's folder, its id, the beginning of it, or a name, which means its newest run.
            See `hpc.naming.resolve`.

    Raises:
        InputError: there is no such run, there are several, or another version made it.
        RunError: it is unknown which run is the newest.
    """
    if wanted is None:
        return _newest(run_root)
    folder = Path(wanted).expanduser().absolute()
    if wanted and _is_run(folder):
        return load(folder)
    if "/" in wanted:  # as a shell completes it, but not to its end
        run_root, wanted = folder.parent, folder.name
    unusable = {each.folder.name: each for each in find_unusable(run_root)}
    return _resolve(run_root, wanted, unusable)


def _is_run(folder: Path) -> bool:
    try:
        return (folder / manifest.FILE_NAME).is_file()
    except OSError:  # the argument is longer than any path, or the folder is closed to this user
        return False


def _resolve(run_root: Path, wanted: str, unusable: Mapping[str, UnusableRun]) -> Run:
    folders = [folder.name for folder in every_folder(run_root)]
    meant = resolve(sorted({*folders, *unusable}, key=_age_among(folders)), wanted)
    if meant.is_ambiguous:
        raise InputError(_describe_ambiguous(wanted, meant.candidates))
    codings: Run | None = None
    for name in meant.candidates:
        if name in unusable:
            raise RunError(str(unusable[name]))
        run = load(run_root / name)
        if not run.manifest.is_coded_by_people or len(meant.candidates) == 1:
            return run
        codings = codings or run
    if codings:
        return codings
    hint = f". To list the runs: hpc ls --run-root {shlex.quote(str(run_root))}" if folders else ""
    raise InputError(
        f"there is no run {wanted or repr(wanted)}, neither as a folder nor under {run_root}"
        f"{meant.suggestion}{hint}"
    )


def _age_among(folders: Sequence[str]) -> Callable[[str], tuple[str, int, str]]:
    """Return what sorts the names of folders by age, also those of runs that cannot be read."""
    place = {name: number for number, name in enumerate(folders)}
    return lambda name: (name.split("-")[0], place.get(name, len(place)), name)


def _describe_ambiguous(wanted: str, candidates: Sequence[str]) -> str:
    lines = [f"{wanted} matches {len(candidates):,} runs. Type more of one of these ids:"]
    lines += [f"  {name}" for name in candidates[:MOST_CANDIDATES]]
    if len(candidates) > MOST_CANDIDATES:
        lines.append(f"  and {len(candidates) - MOST_CANDIDATES:,} older ones")
    if wanted.isdecimal() and len(wanted) < _LEAST_OF_TIME:
        lines.append(f"If {wanted} is a shard, name it in hpc logs {wanted} or with {INDICES}")
    return "\n".join(lines)


def _newest(run_root: Path) -> Run:
    newest_codings: Run | None = None
    unusable = find_unusable(run_root)
    for folder in reversed(every_folder(run_root)):
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
            f"name another place with {RUN_ROOT} or {CONFIG}"
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
    return [folder for folder in every_folder(run_root) if copied_run(folder) is None]


def is_copy(folder: Path) -> bool:
    """Tell whether a folder is a copy of a run beside it."""
    return copied_run(folder) is not None


def find_copies(run_root: Path) -> list[str]:
    """Return a sentence for each folder that is a copy of a run beside it."""
    return [
        f"{folder} is a copy of run {run_id} next to it and is left out: move it out of {run_root}"
        for folder in every_folder(run_root)
        if (run_id := copied_run(folder)) is not None
    ]


def every_folder(run_root: Path) -> list[Path]:
    """Return the folders under the run root that have a manifest, copies too, oldest first."""
    age: dict[Path, tuple[str, int]] = {}
    for folder in list_folders(run_root):
        with contextlib.suppress(OSError):  # `find_unusable` names it
            changed_at = (folder / manifest.FILE_NAME).stat().st_mtime_ns
            # The id has the second; within it, the time of the manifest decides.
            age[folder] = folder.name.split("-")[0], changed_at
    return sorted(age, key=lambda folder: age[folder])


def load_named(run_root: Path, name: str) -> list[Run]:
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
