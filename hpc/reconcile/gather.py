"""Gather a run's outputs and report what came of it."""

from hpc.database.gather_outputs import Gathered, gather
from hpc.executors.base import Executor
from hpc.reconcile.look import look
from hpc.report.gathered import describe_gathered
from hpc.run.model import Run, Say
from hpc.run.run_state import RunStatus


def gather_run(run: Run, executor: Executor, say: Say) -> Gathered:
    """Look at a run and gather it, with the attempts of all its shards.

    Raises:
        BusyError: another process has the database open.
        RunError: the counts do not add up, or a column's type has changed.
    """
    gathered = gather_and_report(look(run, executor, include_done=True), say)
    if gathered.set_aside:
        # The shards of those outputs are no longer done, and the history should say so.
        again = look(run, executor, include_done=True)
        gather(run, again.observation, again.judgements)
    return gathered


def gather_and_report(status: RunStatus, say: Say) -> Gathered:
    """Copy the published outputs into the database, and say how many rows it has now.

    Raises:
        BusyError: another process has the database open.
        RunError: the counts do not add up, or a column's type has changed.
    """
    gathered = gather(status.run, status.observation, status.judgements)
    say(describe_gathered(gathered))
    for line in gathered.rejected:
        say(line)
    return gathered
