"""Submit failed shards again, perhaps after a correction."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.choose_run import RunChoice, find_run
from hpc.api.call.overrides import Overrides, override_texts
from hpc.api.call.place import HERE, PathText, Place
from hpc.api.call.ranges import check_above_zero, check_least
from hpc.api.call.surroundings import library_call
from hpc.checks.cluster import check_script
from hpc.checks.finding import raise_errors
from hpc.config import corrections
from hpc.display.interruption import explain_submission_interruption
from hpc.display.run.amendments import describe_changes
from hpc.display.screen import Screen
from hpc.executors.base import Executor
from hpc.executors.factory import executor_of
from hpc.locks.locked_run import hold_run
from hpc.reconcile import resubmit as resubmitting
from hpc.reconcile.amend import amend
from hpc.reconcile.checks.check_resources import check_resources
from hpc.reconcile.checks.preflight import reject_labeled_elsewhere
from hpc.run.array_plan import plan_arrays
from hpc.run.cluster.resource_requests import apply_request, first_request
from hpc.run.cluster.slurm_time import parse_slurm_time
from hpc.run.model.arrays import ResourceRequest, ShardGroup
from hpc.run.model.run import Run, Say
from hpc.run.plan import reaches_tasks
from hpc.run.run_state import RunStatus
from hpc.run.submissions import plan_intents
from pipeline.errors import InputError
from pipeline.messages.options import INDICES, MEMORY, TIME
from pipeline.run_files.amendments import Change


@dataclass(frozen=True, kw_only=True, slots=True)
class ResubmitSettings:
    """Which shards are submitted again, and how."""

    indices: Sequence[int] | None = None
    """These shards only; None: every failed one."""
    force: bool = False
    """Also blocked shards that have ended, after waiting for late files."""
    mem_gb: float | None = None
    """This much memory (GiB), whatever the remedy says."""
    time: str | int | None = None
    """This time limit, such as `4:00:00` or minutes, whatever the remedy says."""
    config: PathText | None = None
    """Correct the run as this edited configuration says."""
    overrides: Overrides = ()
    """Correct these keys of the run, if they change no label."""
    caretaker: bool = False
    """Add a Slurm job that supervises from here on."""
    dry_run: bool = False
    """Only say what would be submitted."""


_CLUSTER = "cluster."

USUAL = ResubmitSettings()
"""The settings of `hpc resubmit` without options."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResubmitResult:
    """What was submitted again."""

    run: Run = field(repr=False)
    """The run, as corrected."""
    shards: tuple[int, ...]
    """The indices of the shards that were, or would be, submitted again."""
    array_jobs: tuple[int, ...]
    """The ids of the new arrays."""
    changes: tuple[Change, ...]
    """What was corrected."""
    has_ended: bool
    """Whether the tasks have ended by now, as those on this machine have."""
    exit_code: int
    """What `hpc resubmit` exits with: 0 done, 1 a person is needed, 3 still under way."""
    look: RunStatus = field(repr=False)
    """The last look at the run."""
    has_caretaker: bool = False
    """Whether a Slurm job supervises the run from here on, as was asked for."""


@check_argument_types
def resubmit(
    run: RunChoice = None,
    *,
    settings: ResubmitSettings = USUAL,
    at: Place = HERE,
    say: Say | None = None,
) -> ResubmitResult:
    """Submit failed shards again, at the same array indices, with what their remedies change.

    Args:
        run: a run, a result about one, a run's id, name or folder; None: the newest run.
        settings: which shards, and what to correct before.
        at: where to look for runs.
        say: receives each message.

    Raises:
        InputError: there is no such run, a key has a wrong value or must not be corrected.
        BusyError: another process works on the run.
        RunError: a named shard cannot be resubmitted, or the executor rejected every submission.
    """
    check_above_zero(MEMORY, settings.mem_gb)
    if isinstance(settings.time, int):
        check_least(TIME, settings.time, 1)
    check_least(INDICES, min(settings.indices or [0]), 0)
    screen = screen_of(say)
    override = ResourceRequest(mem_gb=settings.mem_gb, time_min=_minutes(settings.time))
    with library_call(), ExitStack() as locks:
        before, lock = find_run(run, at=at), None
        if not settings.dry_run:
            locked = locks.enter_context(hold_run(before))
            before, lock = locked.run, locked.lock
        changes = _corrections(before, settings)
        if not changes:  # a correction, such as of `storage.trust_group`, submits nothing of it
            reject_labeled_elsewhere(before)
        executor = executor_of(before)
        if settings.caretaker:
            executor.caretaker_jobs()  # raises InputError if this executor's runs need none
        corrected = amend(before, changes, dry_run=True)
        if changes or settings.mem_gb or settings.time or settings.caretaker:
            _check_resources(corrected, executor, override, settings, screen)
        if any(change.key.startswith(_CLUSTER) for change in changes):
            _check_script(corrected, executor, override, screen)
        if lock is not None:
            in_background = executor.runs_in_background
            locks.enter_context(
                explain_submission_interruption(before, runs_in_background=in_background)
            )
            corrected = amend(before, changes)
        _report_corrections(corrected, settings, changes, screen)
        request = resubmitting.Request(
            indices=None if settings.indices is None else tuple(settings.indices),
            override=override,
            # A correction is a look at what is blocked, too.
            force=settings.force or bool(changes),
            corrected=any(reaches_tasks(change.key) for change in changes),
            caretaker=settings.caretaker,
            dry_run=settings.dry_run,
        )
        if lock is None:
            result = resubmitting.preview(corrected, executor, request, screen)
        else:
            result = resubmitting.resubmit(corrected, executor, request, lock, screen, screen.wait)
    return ResubmitResult(
        run=corrected,
        shards=result.shards,
        array_jobs=tuple(
            sent.array_job_id for sent in result.sent if sent.array_job_id is not None
        ),
        changes=changes,
        has_ended=result.has_ended,
        exit_code=result.exit_code,
        look=result.end,
        has_caretaker=result.has_caretaker,
    )


def _minutes(time: str | int | None) -> int:
    """Return a time limit in minutes; 0 for none."""
    if time is None or isinstance(time, int):
        return time or 0
    try:
        return parse_slurm_time(time)
    except ValueError as error:
        raise InputError(f"{TIME}: {error}") from None


def _corrections(run: Run, settings: ResubmitSettings) -> tuple[Change, ...]:
    overrides = override_texts(settings.overrides)
    if settings.config is not None:
        return corrections.corrections_by_file(run, Path(settings.config), overrides)
    return corrections.corrections_by_key(run, overrides) if overrides else ()


def _report_corrections(
    run: Run, settings: ResubmitSettings, changes: tuple[Change, ...], say: Say
) -> None:
    for change in describe_changes(changes):
        say(f"{'would correct' if settings.dry_run else 'corrected'} {change}")
    if not changes and (settings.config or settings.overrides):
        say(f"run {run.run_id} has these settings already; nothing to correct")


def _check_resources(
    run: Run,
    executor: Executor,
    override: ResourceRequest,
    settings: ResubmitSettings,
    screen: Screen,
) -> None:
    resources = apply_request(run.cluster.resources, _request(run, override))
    cluster = replace(run.cluster, resources=resources)
    check_resources(executor, cluster, source="resubmit", caretaker=settings.caretaker, say=screen)


def _check_script(run: Run, executor: Executor, override: ResourceRequest, screen: Screen) -> None:
    """Ask whether one task of the corrected run would be taken, before the correction is recorded.

    Raises:
        RunError: it would not.
    """
    shards = ShardGroup(shards=(0,), request=_request(run, override))
    plans = plan_arrays([shards], array_size=1, max_parallel=1)
    findings = check_script(executor, run, plan_intents(run, plans, datetime.now(UTC))[0])
    raise_errors(findings, screen, "nothing was corrected, and nothing was submitted")


def _request(run: Run, override: ResourceRequest) -> ResourceRequest:
    first = first_request(run.cluster.resources)
    return ResourceRequest(
        mem_gb=override.mem_gb or first.mem_gb, time_min=override.time_min or first.time_min
    )
