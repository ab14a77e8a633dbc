"""End a run's jobs: `hpc cancel`. What is paid for is kept, and the run can be resumed."""

import argparse

from hpc.api.cancellation import CancelResult, cancel
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_run
from hpc.database.gathered_shards import is_gathered
from hpc.display.console import Printer
from hpc.display.next_step import describe_next_command, describe_next_step
from hpc.run.run_state import RunState, RunStatus
from pipeline.text import counted


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc cancel`."""
    cli.run_arguments(parser)


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Cancel the run's jobs, and say what is kept and how to resume."""
    result = cancel(chosen_run(options), say=printer)
    if not result.run.manifest.is_labeled_elsewhere:  # else it is said already where the run is now
        _report(result, printer)
    return result.exit_code, {
        "run_id": result.run.run_id,
        "cancelled_jobs": list(result.cancelled_jobs),
        "unreached_jobs": list(result.unreached_jobs),
        "shards_done": result.shards_done,
        "posts_kept": result.posts_kept,
    }


def _report(result: CancelResult, printer: Printer) -> None:
    now = result.look
    verified = [shard for shard in now.observation.shards if shard.output.verified]
    published = sum(shard.posts for shard in verified)
    rest = result.posts_kept - published
    also = f", and {counted(rest, 'answer')} of shards that are not done" if rest else ""
    printer(
        f"kept: the outputs of {result.shards_done:,} of {counted(len(now.judgements), 'shard')} "
        f"({counted(published, 'post')}){also}"
    )
    printer(_how_to_resume(now))
    if result.hidden_jobs:
        printer(
            "Slurm shows no record of some tasks that may be at work. If they are, cancel them by "
            f"hand: scancel {' '.join(map(str, result.hidden_jobs))}"
        )


def _how_to_resume(now: RunStatus) -> str:
    """Return the next command."""
    if now.state is RunState.COMPLETE:
        return describe_next_step(now, is_gathered=is_gathered(now.run, now.observation))
    return f"to resume: {describe_next_command(now)}"


VERB = Verb(
    name="cancel",
    example="hpc cancel",
    arguments=arguments,
    act=act,
    if_interrupted="some jobs may still run. To cancel the rest, run the same command",
)

if __name__ == "__main__":
    cli.main(VERB)
