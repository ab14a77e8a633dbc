"""One look at a run, and the acts that several verbs share: to submit shards, to gather."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hpc.database.gather_outputs import Gathered, gather
from hpc.executors.slurm import submit
from hpc.executors.slurm.client import Slurm, SlurmError
from hpc.reconcile.observe import observe
from hpc.run import plan, submissions
from hpc.run.array_indices import format_indices
from hpc.run.capacity import Capacity, alive_tasks, capacity
from hpc.run.judge import judge_all, why_ended
from hpc.run.model import (
    ArrayPlan,
    Limits,
    ResourceRequest,
    Run,
    Say,
    State,
    Submission,
)
from hpc.run.remedies import explain_remedies, group_by_remedy, needs_limits
from hpc.run.resource_requests import first_request
from hpc.run.run_state import RunStatus
from pipeline.errors import Cause
from pipeline.text import counted


def slurm_of(run: Run) -> Slurm | None:
    return None if run.is_local else Slurm()


def look(
    run: Run, slurm: Slurm | None, *, whole: bool = False, lock_is_ours: bool = False
) -> RunStatus:
    """Observes and judges. The switches are those of `observe`."""
    observation = observe(run, slurm, whole=whole, lock_is_ours=lock_is_ours)
    grace = timedelta(seconds=run.cluster.grace_seconds)
    judged = judge_all(observation, grace=grace, policy=run.retry)
    return RunStatus(run=run, observation=observation, judgements=judged)


def arrays_for(
    run: Run,
    slurm: Slurm | None,
    now: RunStatus,
    shards: Sequence[int],
    override: ResourceRequest | None = None,
) -> tuple[ArrayPlan, ...]:
    """How these shards would be submitted beside what is alive. Raises SlurmError where it has to
    be asked how far resources can grow, and does not answer.

    Args:
        override: what a person wants them to have; 0 minutes: as the remedy says.
    """
    if not shards:
        return ()
    facts = [now.observation.shards[shard] for shard in shards]
    resources = run.cluster.resources
    limits = Limits()
    if slurm is not None and needs_limits(facts):
        limits = _usable(slurm.limits(resources.partition), resources.exclude)
    wanted = group_by_remedy(facts, base=first_request(resources), policy=run.retry, limits=limits)
    if override:
        wanted = tuple(replace(one, ask=_overridden(one.ask, override)) for one in wanted)
    room = room_for(run, now, len(shards))
    return plan.plan_arrays(
        wanted,
        array_size=run.manifest.array_size,
        max_parallel=room.tasks,
        after_jobs=room.after_jobs,
        tasks_at_once=room.parallel_tasks,
        first_number=submissions.next_number(run),
    )


def room_for(run: Run, now: RunStatus, wanted: int) -> Capacity:
    """How many of `wanted` more tasks may start beside those that are alive."""
    return capacity(
        [one for one in submissions.read_submissions(run) if one.released_at],
        alive_tasks(now.observation, now.judgements),
        wanted=wanted,
        max_parallel=run.cluster.max_parallel,
        ends_to_come=plan.jobs_to_wait_for(now.observation),
    )


def _overridden(ask: ResourceRequest, override: ResourceRequest) -> ResourceRequest:
    return replace(
        ask, mem_gb=override.mem_gb or ask.mem_gb, time_min=override.time_min or ask.time_min
    )


def _usable(limits: Limits, exclude: str | None) -> Limits:
    """Without the nodes that the configuration excludes; a pattern of theirs leaves too many."""
    if limits.nodes is None or not exclude:
        return limits
    return replace(limits, nodes=limits.nodes - set(exclude.split(",")))


def unsubmitted_shards(now: RunStatus) -> tuple[int, ...]:
    return tuple(one.index for one in now.judgements if one.state is State.PLANNED)


def resume_submissions(run: Run, slurm: Slurm, say: Say) -> tuple[Submission, ...]:
    """Finishes the submissions that a submitter that died had begun, and says so. Raises SlurmError
    as `begin` does."""
    taken = submit.resume_submissions(run, slurm)
    for one in taken:
        say(f"taken up: {describe_submission(one)}")
    return taken


def submit_shards(
    run: Run,
    slurm: Slurm | None,
    shards: Sequence[int],
    now: RunStatus,
    say: Say,
    *,
    forced: bool = False,
    override: ResourceRequest | None = None,
) -> tuple[Submission, ...]:
    """Submits shards, and says what was submitted. The caller holds the run's lock.

    What one cause calls for may be more than the cluster gives: then the groups are submitted one
    after the other, and only those that are refused stay behind. Raises SlurmError where all are.
    """
    crashed = {
        shard: tuple(
            attempt.number
            for attempt in now.observation.shards[shard].attempts
            if why_ended(attempt)[0] is Cause.CRASHED
        )
        for shard in shards
    }
    plans = arrays_for(run, slurm, now, shards, override)
    for line in explain_remedies(plans, now.judgements):
        say(line)
    try:
        sent = submit.submit_arrays(run, slurm, plans, crashed, forced=forced)
    except SlurmError as error:
        sent = _group_by_group(run, slurm, plans, crashed, error, say, forced=forced)
    for one in sent:
        say(describe_submission(one))
    return sent


def _group_by_group(
    run: Run,
    slurm: Slurm | None,
    plans: tuple[ArrayPlan, ...],
    crashed: dict[int, tuple[int, ...]],
    first: SlurmError,
    say: Say,
    *,
    forced: bool,
) -> tuple[Submission, ...]:
    asks = list(dict.fromkeys(one.ask for one in plans))
    if len(asks) == 1:
        raise first
    sent: list[Submission] = []
    for ask in asks:
        # One group at a time: how many may run beside one another was planned for all of them.
        before = tuple(str(one.array_job_id) for one in sent)
        group = tuple(
            replace(one, after=0, after_jobs=(*one.after_jobs, *before))
            for one in plans
            if one.ask == ask
        )
        try:
            sent += submit.submit_arrays(run, slurm, group, crashed, forced=forced)
        except SlurmError as error:
            say(f"not submitted: {group[0].why}: {error}")
    if not sent:
        raise first
    return tuple(sent)


def describe_submission(one: Submission) -> str:
    shards = counted(len(one.plan.indices), "shard")
    indices = "index" if len(one.plan.indices) == 1 else "indices"
    where = ""  # of one that was only planned
    if one.released_at:
        where = f" as array job {one.array_job_id}" if one.array_job_id else " on this machine"
    offset = f" + {one.plan.offset}" if one.plan.offset else ""
    why = f" ({one.plan.why})" if one.plan.why else ""
    return (
        f"attempt {one.number}: {shards}{where}, "
        f"{indices} {format_indices(one.plan.indices)}{offset}, {one.plan.throttle} at once{why}"
    )


def gather_and_report(run: Run, now: RunStatus, say: Say) -> Gathered:
    """Gathers, and says what came of it."""
    gathered = gather(run, now.observation, now.judgements)
    say(describe_gathered(gathered))
    for line in gathered.rejected:
        say(line)
    return gathered


def describe_gathered(gathered: Gathered) -> str:
    extra = []
    if gathered.unlabelable:  # not of all that is there after
        extra.append(f"{gathered.unlabelable:,} of those gathered cannot be labelled")
    if gathered.already_present:
        extra.append(f"{counted(gathered.already_present, 'post')} had a row already")
    line = (
        f"gathered {counted(gathered.shards, 'shard')}: "
        f"{counted(gathered.rows_before, 'row')} before, "
        f"{gathered.rows_added:,} added, {gathered.rows_after:,} after"
    )
    return f"{line} ({'; '.join(extra)})" if extra else line
