"""Observe, judge, plan, act, until a run is complete or needs a person.

Everything is derived anew in every round, so a process that dies between any two steps is simply
followed by another one.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from hpc.executors.local import executor
from hpc.executors.slurm.client import Slurm, SlurmError
from hpc.reconcile.run_status import (
    gather_and_report,
    look,
    resume_submissions,
    room_for,
    submit_shards,
    unsubmitted_shards,
)
from hpc.run import plan, submissions
from hpc.run.model import Phase, Run, Say, State
from hpc.run.run_state import RunStatus, posts_done
from pipeline.errors import BusyError
from pipeline.text import counted

# How often an sbatch may be refused, with nothing else going on, before a person is needed.
PATIENT_ROUNDS = 5


def supervise(
    run: Run,
    slurm: Slurm | None,
    lock: int,
    say: Say,
    *,
    once: bool = False,
    hand_over: Callable[[RunStatus], bool] | None = None,
) -> RunStatus:
    """Takes up, gathers and submits again until the run is complete or needs a person.

    Args:
        lock: file descriptor of the run's lock, held by the caller.
        once: one round only, for cron; a run of the local executor goes to its end all the same.
        hand_over: asked after each round whether somebody else goes on from here.
    """
    told, gathered, refused = "", 0, 0
    while True:
        now = look(run, slurm, lock_is_ours=True)
        refusal = plan.find_rejection(now.observation)
        trouble = None
        if slurm and refusal:
            _stop(slurm, now, refusal, say)
        elif slurm:
            taken, trouble = _take_up(run, slurm, say)
            now = look(run, slurm, lock_is_ours=True) if taken else now
        failed, _ = plan.resubmittable(now.judgements)
        todo = [] if trouble or refusal else sorted({*failed, *unsubmitted_shards(now)})
        no_room = bool(slurm and todo) and _lacks_room(run, now, len(todo))
        going_on = bool(todo or trouble) or now.is_under_way
        done = sum(one.state is State.DONE for one in now.judgements)
        line = _progress(now, done, trouble, len(todo) if no_room else 0)
        if line != told:
            say(line)
            told = line
        if not going_on:
            last = look(run, slurm, whole=True, lock_is_ours=True)
            if gather_and_report(run, last, say).set_aside:
                continue
            return last
        if done != gathered and _bring_in_for_now(run, now, say):
            gathered = done
        if slurm:
            _restart(run, slurm, now, say)
        if todo and not no_room:
            for_good = once or refused == PATIENT_ROUNDS
            sent = _sent(run, slurm, todo, now, lock, say, for_good=for_good)
            refused = 0 if sent else refused + 1
            if sent and slurm is None:
                continue
        if once or hand_over:
            after = look(run, slurm, lock_is_ours=True)
            if once or (hand_over and hand_over(after)):
                return after
        time.sleep(run.cluster.poll_seconds)


def _sent(
    run: Run,
    slurm: Slurm | None,
    todo: list[int],
    now: RunStatus,
    lock: int,
    say: Say,
    *,
    for_good: bool,
) -> bool:
    """Submits; False where Slurm refuses while others of the run's tasks go on, or not `for_good`
    (a limit of submitted jobs, a controller that restarts): then there is another time."""
    try:
        sent = submit_shards(run, slurm, todo, now, say)
    except SlurmError as error:
        if for_good and not now.is_under_way and now.observation.answered:
            raise
        say(f"not submitted yet: {error}")
        return False
    if slurm is None:
        for one in sent:
            time.sleep(one.plan.delay_s)
            executor.run_array(run, one, lock, say)
    return True


def _stop(slurm: Slurm, now: RunStatus, refusal: plan.Rejection, say: Say) -> None:
    """What has not started would only be refused as well."""
    jobs = plan.jobs_in_phase(now.observation, Phase.WAITING)
    if jobs:
        say(f"shard {refusal.shard} was refused: {refusal.message}\ntaking back what waits")
        slurm.cancel_waiting(jobs)


def _restart(run: Run, slurm: Slurm, now: RunStatus, say: Say) -> None:
    """Puts tasks that stand still back into the queue, where configured; once an attempt."""
    if not run.retry.restart_stalled:
        return
    by_number = {one.number: one for one in submissions.read_submissions(run)}
    for judged, shard in zip(now.judgements, now.observation.shards, strict=True):
        last = shard.attempts[-1] if shard.attempts else None
        if not judged.stalled or last is None or last.restarted or last.array_job_id is None:
            continue
        # Recorded first: one that is put back again and again would never be looked at.
        one = by_number[last.number]
        restarted = (*one.restarted, last.array_task_index)
        by_number[last.number] = submissions.write_submission(
            run, replace(one, restarted=restarted)
        )
        say(f"shard {judged.index}: {judged.message}: putting it back into the queue")
        try:
            slurm.requeue(last.array_job_id, last.array_task_index)
        except SlurmError as error:
            say(f"shard {judged.index} was not put back: {error}")


def _bring_in_for_now(run: Run, now: RunStatus, say: Say) -> bool:
    """False where the database is in use: there will be another time."""
    try:
        gather_and_report(run, now, say)
    except BusyError as error:
        say(f"not gathered yet: {error}")
        return False
    return True


def _take_up(run: Run, slurm: Slurm, say: Say) -> tuple[bool, str | None]:
    """Whether anything was taken up, and Slurm's words where it could not be asked: what was begun
    stays for the next round."""
    try:
        return bool(resume_submissions(run, slurm, say)), None
    except SlurmError as error:
        return False, error.words


def _lacks_room(run: Run, now: RunStatus, wanted: int) -> bool:
    """Whether these shards had better be submitted when there is room for them. Submitted now, they
    would wait for whole arrays to end: for the last of their tasks, which may hang for hours, and
    every later failure would queue up behind them, one after another."""
    return now.is_under_way and bool(room_for(run, now, wanted).after_jobs)


def _progress(now: RunStatus, done: int, trouble: str | None, waiting: int) -> str:
    shards = len(now.judgements)
    posts = sum(map(posts_done, now.observation.shards))
    line = f"{done:,} of {counted(shards, 'shard')} done, {counted(posts, 'post')}"
    if waiting:
        line += f"; {waiting:,} to be submitted when a task has ended"
    trouble = trouble or now.observation.trouble
    return f"{line}; Slurm does not answer: {trouble}" if trouble else line
