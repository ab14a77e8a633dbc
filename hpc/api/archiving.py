"""Put runs that are complete and gathered into archives, and unpack them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.choose_run import RunChoice, find_run
from hpc.api.call.place import HERE, Place
from hpc.api.call.ranges import check_above_zero
from hpc.api.call.surroundings import library_call
from hpc.cleaning.archive_run import archive_run, unpack_run
from hpc.cleaning.describe import describe_plan
from hpc.cleaning.plan_cleaning import Decision, RunCleaning, plan_cleaning
from hpc.display.blocks import Block
from hpc.display.html.render import to_html
from hpc.display.system_error import describe_error
from hpc.executors.factory import executor_of, shared_executors
from hpc.run.exit_codes import FAILED
from hpc.run.model.run import Run, Say
from hpc.run.run_folder import load
from hpc.runs import find_runs
from hpc.runs.left_out import report_left_out
from hpc.runs.unusable_runs import find_unusable
from pipeline.errors import InputError, RunError
from pipeline.text import counted


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanResult:
    """What became of some runs, or would. A notebook shows it as `hpc clean` prints it."""

    run_root: Path
    """The folder of all runs."""
    plans: tuple[RunCleaning, ...] = field(repr=False)
    """What was decided about each run, and why, oldest first."""
    is_done: bool
    """Whether runs were archived; else nothing was changed."""
    failures: Mapping[str, str]
    """By run id, why a run could not be archived."""
    exit_code: int
    """What `hpc clean` exits with: 0 done, 1 a run fails, cannot be read, or is named and stays."""

    @property
    def to_archive(self) -> tuple[str, ...]:
        """The ids of the runs that can be archived, or were."""
        return tuple(plan.run.run_id for plan in self.plans if plan.inodes_to_go)

    def describe(self) -> list[Block]:
        """Return the plan as `hpc clean` prints it."""
        return describe_plan(self.plans)

    def _repr_html_(self) -> str:
        """Return the plan, for a notebook."""
        return to_html(self.describe())


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoreResult:
    """Runs that were unpacked."""

    run_root: Path
    """The folder of all runs."""
    files: Mapping[str, int]
    """How many files each run has now, by its id."""
    runs: tuple[Run, ...] = field(repr=False)
    """The runs."""


@check_argument_types
def clean(
    *runs: RunChoice,
    archive: bool = False,
    older_than_days: float | None = None,
    at: Place = HERE,
    say: Say | None = None,
) -> CleanResult:
    """Put each run that is complete and gathered into one file, or only say what would go.

    Every function reads from an archive as from a folder.

    Args:
        runs: these runs; none for all.
        archive: archive the runs; without it, nothing is changed.
        older_than_days: only runs that were planned more than this many days ago.
        at: where to look for runs.
        say: receives the plan, and a message for each run.

    Raises:
        InputError: there is no such run.
        RunError: the run root cannot be read.
    """
    check_above_zero("older_than_days", older_than_days)
    screen = screen_of(say)
    with library_call():
        chosen, unreadable = _choose(runs, older_than_days, at, screen)
        # Only live jobs are asked for, by their names, and no submission.
        plans = plan_cleaning(chosen, shared_executors([(run, ()) for run in chosen]))
        if not runs:
            plans = [plan for plan in plans if plan.decision is not Decision.ARCHIVED]
        screen.show(*describe_plan(plans))
        failures = _archive(plans, screen) if archive else {}
        unreadable += [plan.run.run_id for plan in plans if plan.is_unreadable]
        stays = bool(runs) and any(plan.decision is Decision.KEEP for plan in plans)
        return CleanResult(
            run_root=at.find_run_root(),
            plans=tuple(plans),
            is_done=archive,
            failures=failures,
            exit_code=FAILED if failures or stays or unreadable else 0,
        )


@check_argument_types
def restore(*runs: RunChoice, at: Place = HERE, say: Say | None = None) -> RestoreResult:
    """Unpack the archives of runs, and remove these.

    Args:
        runs: the runs, one or more.
        at: where to look for runs.
        say: receives a message for each run.

    Raises:
        InputError: no run is named, or there is no such run.
        RunError: a run is not archived, or its archive is damaged.
        OSError: the disk is full, or a folder is closed to this user.
    """
    if not runs:
        raise InputError("restore: name the runs to unpack. To list them: hpc ls")
    screen = screen_of(say)
    unpacked: dict[str, Run] = {}
    counts: dict[str, int] = {}
    with library_call():
        for wanted in runs:
            run = find_run(wanted, at=at)
            counts[run.run_id], unpacked[run.run_id] = unpack_run(run), run
            files = counted(counts[run.run_id], "file")
            screen(f"run {run.run_id}: {files} unpacked, and the archive removed")
        root = at.find_run_root()
    return RestoreResult(run_root=root, files=counts, runs=tuple(unpacked.values()))


def _choose(
    wanted: Sequence[RunChoice], older_than_days: float | None, at: Place, say: Say
) -> tuple[list[Run], list[str]]:
    """Return the runs that are meant, oldest first, and the ids of those that cannot be read."""
    unreadable: list[str] = []
    if wanted:
        named = {run.run_id: run for run in (find_run(each, at=at) for each in wanted)}
        runs = sorted(named.values(), key=lambda run: run.age)
    else:
        root = at.find_run_root()
        report_left_out(root, say)
        unreadable = [each.run_id for each in find_unusable(root)]
        runs = []
        for folder in find_runs.all_runs(root):
            try:
                runs.append(load(folder))
            except (InputError, RunError, OSError) as error:
                say(f"{error}")
                unreadable.append(folder.name)
    if older_than_days is None:
        return runs, unreadable
    now = datetime.now(UTC).replace(tzinfo=None)
    # Not as a time before which a run was planned: the calendar begins with the year 1.
    old = [run for run in runs if (now - run.age[0]) / timedelta(days=1) > older_than_days]
    return old, unreadable


def _archive(plans: Sequence[RunCleaning], say: Say) -> dict[str, str]:
    """Archive the runs that can be archived; return by run id why others could not be."""
    failures: dict[str, str] = {}
    for plan in plans:
        if plan.decision not in (Decision.ARCHIVE, Decision.FINISH):
            continue
        run_id = plan.run.run_id
        try:
            archive_run(plan.run, executor_of(plan.run))
        except (InputError, RunError) as error:
            failures[run_id] = str(error)
        except OSError as error:
            failures[run_id] = describe_error(error)
        if run_id in failures:
            say(f"run {run_id} is not archived: {failures[run_id]}")
        else:
            say(f"run {run_id}: archived, {plan.inodes_to_go:,} files and folders removed")
    return failures
