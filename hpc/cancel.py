"""`hpc cancel`: end a run's jobs. What is paid for is kept, and the run can be resumed."""

import argparse
from typing import Any

from hpc.command_line import cli
from hpc.command_line.verb import Verb, chosen_run
from hpc.database.gather_outputs import is_gathered
from hpc.display.next_step import describe_next_command, describe_next_step
from hpc.executors.factory import executor_of
from hpc.reconcile.look import look
from hpc.run.exit_codes import FAILED
from hpc.run.model import State
from hpc.run.run_state import RunState, RunStatus
from pipeline.text import counted


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    cli.run_arguments(parser)


def act(given: argparse.Namespace, say: Any) -> tuple[int, dict[str, Any]]:
    """Cancel the run's jobs, and say what is kept and how to resume."""
    run = chosen_run(given)
    executor = executor_of(run)
    cancellation = executor.cancel(run, say)
    now = look(run, executor)
    done = [shard for shard in now.observation.shards if shard.output.verified]
    published = sum(shard.posts for shard in done)
    say(
        f"kept: {len(done):,} of {counted(len(now.judgements), 'shard')} done "
        f"({counted(published, 'post')}), "
        f"{counted(now.posts_kept - published, 'post')} of other shards"
    )
    say(_how_to_resume(now))
    if hidden := _hidden_jobs(now):
        say(
            "Slurm shows no record of some tasks that may be at work. If they are, cancel them by "
            f"hand: scancel {' '.join(map(str, hidden))}"
        )
    unreached = sorted({*cancellation.unreached, *hidden})
    return 0 if cancellation.is_complete and not hidden else FAILED, {
        "run_id": run.run_id,
        "cancelled_jobs": list(cancellation.jobs),
        "unreached_jobs": unreached,
        "shards_done": len(done),
        "posts_kept": now.posts_kept,
    }


def _hidden_jobs(now: RunStatus) -> list[int]:
    """Return the arrays of shards that work, or may do so, without any record in Slurm."""
    last = [
        shard.attempts[-1].array_job_id
        for shard, judgement in zip(now.observation.shards, now.judgements, strict=True)
        if judgement.state is State.UNKNOWN and shard.attempts
    ]
    return sorted({job for job in last if job is not None})


def _how_to_resume(now: RunStatus) -> str:
    """Return the next command."""
    if now.state is RunState.COMPLETE:
        return describe_next_step(now, is_gathered=is_gathered(now.run, now.observation))
    return f"to resume: {describe_next_command(now)}"


VERB = Verb(name="cancel", example="hpc cancel", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
