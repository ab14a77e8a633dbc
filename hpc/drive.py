"""Observe, judge, plan, act, until a run is complete or needs a person.

Everything is derived anew in every round, so a process that dies between any two steps is simply
followed by another one.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from hpc import local, plan, rundir, submission
from hpc.arrays import compress
from hpc.capacity import alive_tasks, capacity
from hpc.collect import Gathered, gather
from hpc.judge import judge_all
from hpc.model import ArrayPlan, Judgement, Observation, Run, State, Submission
from hpc.observe import observe
from hpc.slurm import Slurm, SlurmError
from hpc.summary import RunState, posts_done, run_state
from pipeline.errors import BusyError

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
    judged = judge_all(observation, grace=grace, max_attempts=run.manifest.max_attempts)
    return Look(observation, judged)


def arrays_for(run: Run, now: Look, shards: Sequence[int]) -> tuple[ArrayPlan, ...]:
    """How these shards would be submitted beside what is alive."""
    if not shards:
        return ()
    alive = alive_tasks(now.observation, now.judged)
    released = [one for one in rundir.submissions(run) if one.released_at]
    most = run.cluster["max_parallel"]
    room = capacity(released, alive, wanted=len(shards), max_parallel=most)
    return plan.arrays(
        shards,
        array_size=run.manifest.array_size,
        max_parallel=room.tasks,
        after_jobs=room.after_jobs,
        tasks_at_once=room.parallel_tasks,
        first_number=submission.next_number(run),
    )


def unsubmitted(now: Look) -> tuple[int, ...]:
    return tuple(one.index for one in now.judged if one.state is State.PLANNED)


def begin(
    run: Run, slurm: Slurm | None, shards: Sequence[int], now: Look, say: Say
) -> tuple[Submission, ...]:
    """Submits shards, and says what was submitted. The caller holds the run's lock."""
    sent = submission.send(run, slurm, arrays_for(run, now, shards))
    for one in sent:
        say(described(one))
    return sent


def described(one: Submission) -> str:
    where = f"as array job {one.array_job_id}" if one.array_job_id else "on this machine"
    offset = f" + {one.plan.offset}" if one.plan.offset else ""
    return (
        f"attempt {one.number}: {len(one.plan.indices):,} shards {where}, "
        f"indices {compress(one.plan.indices)}{offset}, {one.plan.throttle} at once"
    )


def supervise(run: Run, slurm: Slurm | None, lock: int, say: Say, *, once: bool = False) -> Look:
    """Takes up, gathers and submits again until the run is complete or needs a person.

    Args:
        lock: file descriptor of the run's lock, held by the caller.
        once: one round only, for cron; a run of the local executor goes to its end all the same.
    """
    told, gathered = "", 0
    while True:
        trouble = _take_up(run, slurm, say)
        now = look(run, slurm, lock_is_ours=True)
        failed, _ = plan.resubmittable(now.judged)
        todo = [] if trouble else sorted({*failed, *unsubmitted(now)})
        going_on = bool(todo or trouble) or now.is_going_on
        done = sum(one.state is State.DONE for one in now.judged)
        line = _progress(now, done, trouble)
        if line != told:
            say(line)
            told = line
        if not going_on:
            last = look(run, slurm, whole=True, lock_is_ours=True)
            if bring_in(run, last, say).set_aside:
                continue
            return last
        if done != gathered and _bring_in_for_now(run, now, say):
            gathered = done
        if todo and _sent(run, slurm, todo, now, lock, say) and slurm is None:
            continue
        if once:
            return look(run, slurm, lock_is_ours=True)
        time.sleep(run.cluster["poll_seconds"])


def _sent(run: Run, slurm: Slurm | None, todo: list[int], now: Look, lock: int, say: Say) -> bool:
    """Submits; False where Slurm refuses while others of the run's tasks go on (a limit of
    submitted jobs, a controller that restarts): then there is another time."""
    try:
        sent = begin(run, slurm, todo, now, say)
    except SlurmError as error:
        if not now.is_going_on and now.observation.answered:
            raise
        say(f"not submitted yet: {error}")
        return False
    if slurm is None:
        for one in sent:
            local.run_array(run, one, lock)
    return True


def bring_in(run: Run, now: Look, say: Say) -> Gathered:
    """Gathers, and says what came of it."""
    gathered = gather(run, now.observation, now.judged)
    say(told_of(gathered))
    for line in gathered.rejected:
        say(line)
    return gathered


def _bring_in_for_now(run: Run, now: Look, say: Say) -> bool:
    """False where the database is in use: there will be another time."""
    try:
        bring_in(run, now, say)
    except BusyError as error:
        say(f"not gathered yet: {error}")
        return False
    return True


def told_of(gathered: Gathered) -> str:
    extra = [f"{gathered.unlabelable:,} of them cannot be labelled"] if gathered.unlabelable else []
    if gathered.already_present:
        extra.append(f"{gathered.already_present:,} posts had a row already")
    line = (
        f"gathered {gathered.shards:,} shards: {gathered.rows_before:,} rows before, "
        f"{gathered.rows_added:,} added, {gathered.rows_after:,} after"
    )
    return f"{line} ({'; '.join(extra)})" if extra else line


def _take_up(run: Run, slurm: Slurm | None, say: Say) -> str | None:
    """Slurm's words where it could not be asked: what was begun stays for the next round."""
    if slurm is None:
        return None
    try:
        for one in submission.take_up(run, slurm):
            say(f"taken up: {described(one)}")
    except SlurmError as error:
        return error.words
    return None


def _progress(now: Look, done: int, trouble: str | None) -> str:
    shards = len(now.judged)
    posts = sum(map(posts_done, now.observation.shards))
    line = f"{done:,} of {shards:,} shards done, {posts:,} posts"
    trouble = trouble or now.observation.trouble
    return f"{line}; Slurm does not answer: {trouble}" if trouble else line
