"""One look at a run, and the acts that several verbs share: to submit shards, to gather."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from hpc import plan, records, submission
from hpc.arrays import compress
from hpc.capacity import Capacity, alive_tasks, capacity
from hpc.cluster import ask_of, resources_of
from hpc.collect import Gathered, gather
from hpc.judge import judge_all, why_ended
from hpc.model import ArrayPlan, Judgement, Limits, Observation, Run, State, Submission
from hpc.observe import observe
from hpc.remedies import groups, needs_limits
from hpc.retry import policy_of
from hpc.slurm import Slurm
from hpc.summary import RunState, run_state
from pipeline.errors import Cause

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Look:
    """A run as it is now."""

    observation: Observation
    judged: tuple[Judgement, ...]

    @property
    def state(self) -> RunState:
        return run_state(self.judged)

    @property
    def is_going_on(self) -> bool:
        return self.state in (RunState.RUNNING, RunState.UNKNOWN)


def slurm_of(run: Run) -> Slurm | None:
    return None if run.is_local else Slurm()


def look(run: Run, slurm: Slurm | None, *, whole: bool = False, lock_is_ours: bool = False) -> Look:
    """Observes and judges. The switches are those of `observe`."""
    observation = observe(run, slurm, whole=whole, lock_is_ours=lock_is_ours)
    grace = timedelta(seconds=run.cluster["grace_seconds"])
    judged = judge_all(observation, grace=grace, policy=policy_of(run.manifest.retry))
    return Look(observation, judged)


def arrays_for(
    run: Run, slurm: Slurm | None, now: Look, shards: Sequence[int]
) -> tuple[ArrayPlan, ...]:
    """How these shards would be submitted beside what is alive. Raises SlurmError where it has to
    be asked how far resources can grow, and does not answer."""
    if not shards:
        return ()
    facts = [now.observation.shards[shard] for shard in shards]
    resources = resources_of(run.cluster)
    limits = Limits()
    if slurm is not None and needs_limits(facts):
        limits = slurm.limits(resources.partition)
    wanted = groups(
        facts, base=ask_of(resources), policy=policy_of(run.manifest.retry), limits=limits
    )
    room = room_for(run, now, len(shards))
    return plan.arrays(
        wanted,
        array_size=run.manifest.array_size,
        max_parallel=room.tasks,
        after_jobs=room.after_jobs,
        tasks_at_once=room.parallel_tasks,
        first_number=records.next_number(run),
    )


def room_for(run: Run, now: Look, wanted: int) -> Capacity:
    """How many of `wanted` more tasks may start beside those that are alive."""
    alive = alive_tasks(now.observation, now.judged)
    released = [one for one in records.submissions(run) if one.released_at]
    return capacity(released, alive, wanted=wanted, max_parallel=run.cluster["max_parallel"])


def unsubmitted(now: Look) -> tuple[int, ...]:
    return tuple(one.index for one in now.judged if one.state is State.PLANNED)


def begin(
    run: Run, slurm: Slurm | None, shards: Sequence[int], now: Look, say: Say
) -> tuple[Submission, ...]:
    """Submits shards, and says what was submitted. The caller holds the run's lock."""
    crashed = {
        shard: tuple(
            attempt.number
            for attempt in now.observation.shards[shard].attempts
            if why_ended(attempt)[0] is Cause.CRASHED
        )
        for shard in shards
    }
    sent = submission.send(run, slurm, arrays_for(run, slurm, now, shards), crashed)
    for one in sent:
        say(described(one))
    return sent


def described(one: Submission) -> str:
    count = len(one.plan.indices)
    where = ""  # of one that was only planned
    if one.released_at:
        where = f" as array job {one.array_job_id}" if one.array_job_id else " on this machine"
    offset = f" + {one.plan.offset}" if one.plan.offset else ""
    why = f" ({one.plan.why})" if one.plan.why else ""
    return (
        f"attempt {one.number}: {count:,} shard{'s' * (count > 1)}{where}, "
        f"indices {compress(one.plan.indices)}{offset}, {one.plan.throttle} at once{why}"
    )


def bring_in(run: Run, now: Look, say: Say) -> Gathered:
    """Gathers, and says what came of it."""
    gathered = gather(run, now.observation, now.judged)
    say(told_of(gathered))
    for line in gathered.rejected:
        say(line)
    return gathered


def told_of(gathered: Gathered) -> str:
    extra = [f"{gathered.unlabelable:,} of them cannot be labelled"] if gathered.unlabelable else []
    if gathered.already_present:
        extra.append(f"{gathered.already_present:,} posts had a row already")
    line = (
        f"gathered {gathered.shards:,} shards: {gathered.rows_before:,} rows before, "
        f"{gathered.rows_added:,} added, {gathered.rows_after:,} after"
    )
    return f"{line} ({'; '.join(extra)})" if extra else line
