"""`python -m hpc.cancel`: ends a run's jobs; what is paid for is kept, and the run can go on."""

import argparse
from collections import Counter
from typing import Any

from hpc import cli
from hpc.database.gather_outputs import is_gathered
from hpc.executors.slurm.client import Slurm
from hpc.reconcile.cancellation import Cancelled, cancel_jobs, stop_tasks
from hpc.reconcile.run_status import look, slurm_of
from hpc.report.next_step import describe_next_command, describe_next_step
from hpc.run.model import Run, Say, State
from hpc.run.run_state import RunState, RunStatus, posts_done
from hpc.verb import Verb, chosen_run
from pipeline.text import counted


def arguments(parser: argparse.ArgumentParser) -> None:
    cli.run_arguments(parser)


def act(given: argparse.Namespace, say: Any) -> tuple[int, dict[str, Any]]:
    run = chosen_run(given)
    slurm = slurm_of(run)
    ended = Cancelled()
    if slurm is None:
        _end_here(run, say)
    else:
        ended = _end_in_slurm(run, slurm, say)
    now = look(run, slurm)
    shards = now.observation.shards
    done = [shard for shard in shards if shard.output.verified]
    published, in_all = sum(shard.posts for shard in done), sum(map(posts_done, shards))
    say(
        f"kept: {len(done):,} of {counted(len(shards), 'shard')} done "
        f"({counted(published, 'post')}), "
        f"{counted(in_all - published, 'post')} in checkpoint parts"
    )
    say(_going_on(run, now, ended))
    return cli.FAILED if ended.left else 0, {
        "run_id": run.run_id,
        "cancelled_jobs": ended.jobs,
        "shards_done": len(done),
        "posts_kept": in_all,
    }


def _end_here(run: Run, say: Say) -> None:
    """The local executor's tasks."""
    before = Counter(one.state for one in look(run, None).judgements)
    if stop_tasks(run, say):
        ran, waited = before[State.RUNNING], before[State.QUEUED]
        say(f"cancelled on this machine: {counted(ran, 'task')} ran, {waited:,} waited")
    else:
        say(f"no task of run {run.run_id} is alive: nothing to cancel")


def _end_in_slurm(run: Run, slurm: Slurm, say: Say) -> Cancelled:
    ended = cancel_jobs(run, slurm, say)
    if not ended.tasks:
        say(f"no job of run {run.run_id} waits or runs: nothing to cancel")
    for job in sorted(ended.caretakers):
        say(f"cancelled the caretaker (job {job})")
    if ended.arrays:
        say(
            f"cancelled {counted(len(ended.arrays), 'array')} "
            f"({', '.join(map(str, ended.arrays))}): "
            f"{counted(ended.ran(), 'task')} ran, {ended.waited():,} waited"
        )
    for (job, index), record in ended.left.items():
        task = f"job {job}" if index is None else f"task {job}_{index}"
        where = f" on {record.node}" if record.node else ""
        say(f"not ended yet: {task} is {record.slurm_state}{where}: cancel again, later")
    if ended.withdrawn:
        say(
            f"{counted(len(ended.withdrawn), 'shard')} never came to Slurm and stay planned: "
            f"supervise submits them, and so does the next submit under {run.manifest.name}"
        )
    return ended


def _going_on(run: Run, now: RunStatus, ended: Cancelled) -> str:
    """What was just cancelled is not judged so before the grace time is over."""
    open_states = {one.state for one in now.judgements} - {State.DONE, State.PLANNED}
    if ended.arrays and open_states and now.state is not RunState.COMPLETE:
        grace = run.cluster.grace_seconds
        return f"go on, after {grace:g} s, with: python -m hpc.resubmit --force {run.folder}"
    if now.state is RunState.COMPLETE:
        return describe_next_step(now, is_gathered=is_gathered(run, now.observation))
    return f"go on with: {describe_next_command(now)}"


VERB = Verb(name="cancel", example="hpc cancel", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
