"""Label a few posts first, report what they show, and let the others follow.

A canary is a run of its own, so its posts are never asked about again. If this is interrupted, the
same command resumes the canary, and does not repeat one that is complete.
"""

from dataclasses import dataclass, replace

from hpc.display.interruption import describe_leaving, explain_canary_interruption
from hpc.display.run.run_summary import show_result
from hpc.display.run.usage import usage_of
from hpc.display.screen import Screen
from hpc.executors.factory import create_executor, executor_of
from hpc.locks.locked_run import hold_run
from hpc.planning.discard import find_discardable
from hpc.planning.estimate import estimate_cost
from hpc.planning.measured.canary import CanaryOutcome, CanaryResult
from hpc.planning.measured.describe_canary import (
    describe_canary,
    describe_rest,
    describe_speed_changes,
)
from hpc.planning.measured.duration import estimate_minutes
from hpc.planning.measured.run_pace import find_canary, keys_that_change_speed, pace_of
from hpc.planning.measured.shard_size import ShardSize
from hpc.planning.measured.size_run import SUGGESTED_MINUTES, size_shards
from hpc.planning.new_run.describe_draft import workload
from hpc.planning.new_run.draft_run import draft_run
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.run_spec import RunSpec, Selection
from hpc.planning.submit_request import SubmitRequest
from hpc.planning.submit_run import SubmitResult, submit_run
from hpc.reconcile.look import look
from hpc.reconcile.loop import supervise
from hpc.run.exit_codes import FAILED
from hpc.run.model.run import Run
from hpc.run.run_state import RunState, RunStatus
from pipeline.usage import cost_options


@dataclass(frozen=True, kw_only=True, slots=True)
class CanarySubmit:
    """What came of a submit with a canary."""

    result: SubmitResult
    """Of the run of the other posts if they followed, else of the canary."""
    canary: CanaryResult | None
    """What the canary showed; None if there was no post for one."""
    rest: RunDraft | None = None
    """The other posts; None if the canary did not go well."""
    size: ShardSize | None = None
    """The size of their shards that follows from the canary; None if nothing was measured."""
    goes_on: bool = False
    """Whether they were submitted."""

    @property
    def waits_for_yes(self) -> bool:
        """Whether other posts are left, and follow as soon as a person says so."""
        return bool(self.rest and self.rest.counts.posts and not self.goes_on)


def submit_after_canary(request: SubmitRequest, screen: Screen) -> CanarySubmit:
    """Run a canary, and submit the other posts if it went well and they may follow.

    Raises:
        InputError: a caretaker is not possible, or as `submit_run` does.
        BusyError, ExecutorError: as `submit_run` does.
    """
    canary = request.selection.canary
    assert canary
    if request.caretaker:  # before anything is spent
        create_executor(request.spec.config.cluster).caretaker_jobs()
    made, run = _run_canary(request, canary.posts, screen)
    if run is None:
        assert made
        return CanarySubmit(result=made, canary=None)
    measured = measure(look(run, executor_of(run), include_done=True))
    screen("")
    screen.show(*describe_canary(measured))
    went_well = measured.outcome is CanaryOutcome.WELL
    selection = rest_of(request.selection, run) if went_well else None
    if selection is None:
        draft = made.draft if made else draft_run(request.spec, request.selection, request.folders)
        code = 0 if went_well else FAILED
        return CanarySubmit(
            result=SubmitResult(draft=draft, run=run, exit_code=code), canary=measured
        )
    rest = draft_run(request.spec, selection, request.folders)
    size = _size_of_rest(request.spec, rest, measured)
    screen("")
    screen.show(*describe_rest(request.spec, rest, measured.pace, size, _time_limit(request.spec)))
    shown = CanarySubmit(
        result=SubmitResult(draft=made.draft if made else rest, run=run, exit_code=0),
        canary=measured,
        rest=rest,
        size=size,
    )
    if not (rest.counts.posts and canary.goes_on):
        return shown
    screen("")
    result = submit_run(replace(request, selection=selection), screen)
    return replace(shown, result=result, goes_on=True)


def _run_canary(
    request: SubmitRequest, posts: int, screen: Screen
) -> tuple[SubmitResult | None, Run | None]:
    """Bring a canary to its end.

    Returns:
        What the submit of a new one did, None if there was no need for one; and the newest canary,
        also if no post is left for a new one.
    """
    newest = find_canary(request.spec)
    if newest is not None and newest.run_id in find_discardable(request.spec, _say_nothing):
        newest = None  # submit moves it aside
    if newest is not None and not _counts(newest, request.spec, screen):
        newest = None
    if newest is not None:
        state = _finish(newest, screen)
        if newest.manifest.posts >= posts or state is not RunState.COMPLETE:
            return None, newest
    made = submit_run(replace(request, wait=True, caretaker=False, resumes=False), screen)
    return made, made.run or newest


def _counts(canary: Run, spec: RunSpec, screen: Screen) -> bool:
    """Tell whether a canary need not be repeated, and say if its speed may be another one.

    With other values of keys that change no label, such as a quota, one that is complete counts.
    Another one may be incomplete because of these values, so it is not resumed with them.
    """
    keys = keys_that_change_speed(spec, canary)
    if not keys:
        return True
    if look(canary, executor_of(canary)).state is not RunState.COMPLETE:
        return False
    screen(describe_speed_changes(canary, keys))
    return True


def _say_nothing(message: str) -> None:
    pass


def _finish(run: Run, screen: Screen) -> RunState:
    """Bring a canary that exists to its end, and return its state."""
    executor = executor_of(run)
    if look(run, executor).state is RunState.COMPLETE:
        screen(f"the canary {run.run_id} is complete: its posts are not labeled again")
    else:
        screen(f"resuming the canary {run.folder}")
    in_background = executor.runs_in_background
    with (
        hold_run(run) as locked,
        explain_canary_interruption(run, runs_in_background=in_background),
        screen.watching(describe_leaving(runs_in_background=in_background)) as view,
    ):
        end = supervise(locked.run, executor, locked.lock, view)
    if end.state is not RunState.COMPLETE:
        show_result(end, screen)
    return end.state


def measure(status: RunStatus) -> CanaryResult:
    """Return what a canary shows, from the last look at it."""
    run, shards, labels = status.run, status.observation.shards, status.labels
    pace = pace_of(run)
    accounted = [
        attempt.record.max_rss_mb
        for shard in shards
        for attempt in shard.attempts
        if attempt.record and attempt.record.max_rss_mb
    ]
    seen = [pace.memory_mb] if pace and pace.memory_mb else []
    usage = usage_of(
        shards, posts=run.manifest.posts, price=cost_options(run.manifest.classifier).price
    )
    counts = (usage.prompt_tokens, usage.completion_tokens) if usage else ()
    return CanaryResult(
        run=run,
        state=status.state,
        labeled=labels.labeled,
        unlabelable=labels.unlabelable,
        pace=pace,
        memory_mb=max([*accounted, *seen], default=None),
        most_attempts=max((len(shard.attempts) for shard in shards), default=1),
        tokens=sum(filter(None, counts)) if any(n is not None for n in counts) else None,
        cost=usage.cost if usage else None,
        currency=usage.currency if usage else None,
    )


def rest_of(selection: Selection, canary: Run) -> Selection | None:
    """Return the selection without the posts of its canary; None if none can be left.

    A post of the canary that got a reason is not retried, whichever posts the selection retries.
    """
    limit = selection.limit
    if limit is not None:
        limit -= canary.manifest.posts
        if limit < 1:
            return None
    return replace(
        selection,
        canary=None,
        limit=limit,
        not_of_runs=selection.not_of_runs | {canary.run_id},
    )


def _size_of_rest(spec: RunSpec, rest: RunDraft, measured: CanaryResult) -> ShardSize | None:
    if not measured.pace or not rest.counts.posts:
        return None
    return rest.shard_size or size_shards(
        spec,
        measured.pace,
        posts=rest.counts.posts,
        asked=rest.posts_to_ask,
        minutes=SUGGESTED_MINUTES,
    )


def _time_limit(spec: RunSpec) -> int | None:
    cluster = spec.config.cluster
    return create_executor(cluster).time_limit(cluster.resources)


def canary_document(spec: RunSpec, submit: CanarySubmit) -> dict[str, object] | None:
    """Return what --json says about a canary; null if there was no post for one."""
    canary, rest, size = submit.canary, submit.rest, submit.size
    if canary is None:
        return None
    estimate = estimate_cost(spec.cost_options, rest.posts_to_ask, rest.paid) if rest else None
    pace = canary.pace
    return {
        "run_id": canary.run.run_id,
        "verdict": str(canary.outcome),
        "state": str(canary.state),
        "posts": canary.posts,
        "labeled": canary.labeled,
        "unlabelable": dict(canary.unlabelable),
        "attempts": canary.most_attempts,
        "posts_per_minute": pace and pace.per_minute,
        "startup_seconds": pace and 60 * pace.startup_minutes,
        "memory_mb": canary.memory_mb,
        "tokens": canary.tokens,
        "cost": canary.cost,
        "rest": rest
        and {
            "posts": rest.counts.posts,
            "shards": rest.sizes.count,
            "minutes": estimate_minutes(workload(spec, rest, pace)),
            "cost": estimate and estimate.cost,
            "suggested_rows": size and size.rows,
            "submitted": submit.goes_on,
        },
    }
