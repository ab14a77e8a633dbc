"""Copy finished labels into the database."""

from dataclasses import dataclass, field

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.choose_run import RunChoice, find_run
from hpc.api.call.place import HERE, Place
from hpc.api.call.surroundings import library_call
from hpc.database.gather_outputs import Gathered
from hpc.display.next_step import describe_next_step
from hpc.display.run.label_counts import describe_no_label
from hpc.display.screen import Screen
from hpc.executors.factory import executor_of
from hpc.reconcile.checks.trust import describe_older_run
from hpc.reconcile.gathering.gather import gather_run
from hpc.reconcile.gathering.rebuild import rebuild as rebuild_database
from hpc.run.exit_codes import FAILED
from hpc.run.model.run import Run, Say
from hpc.run.model.shards import State
from hpc.run.run_state import EXIT_CODE, RunStatus
from hpc.runs.left_out import report_left_out


@dataclass(frozen=True, kw_only=True, slots=True)
class GatherResult:
    """What one gathering did."""

    run: Run = field(repr=False)
    """The run that was gathered."""
    rows_before: int
    """How many rows the name had in the database."""
    rows_added: int
    """How many were added. Rows of a shard that was labeled again replace its former ones."""
    rows_after: int
    """How many it has now."""
    unlabelable: int
    """How many of the gathered rows have a reason instead of a label."""
    already_present: int
    """How many posts another run had labeled already. Their rows stay."""
    rejected_outputs: tuple[str, ...]
    """A message for each output or run that was left out for what it holds."""
    unreadable_files: tuple[str, ...]
    """A message for each file that could not be read now. It was left as it is."""
    exit_code: int
    """What `hpc gather` exits with: 0 done, 1 a person is needed, 3 no shard is done yet."""
    look: RunStatus | None = field(default=None, repr=False)
    """The run as it was then; None after a rebuild."""


@check_argument_types
def gather(
    run: RunChoice = None,
    *,
    at: Place = HERE,
    rebuild: bool = False,
    say: Say | None = None,
) -> GatherResult:
    """Copy the published labels of a run into the database. It is safe to repeat.

    DuckDB lets only one connection write. A notebook that has the database open, in this process
    or another one, has to close it first.

    Args:
        run: a run, a result about one, a run's id, name or folder; None: the newest run.
        at: where to look for runs, and which database to use instead of the run's own.
        rebuild: make the whole database again from the folders of all runs that share it.
        say: receives each message.

    Raises:
        InputError: there is no such run, or others can write to it and it does not trust them.
        BusyError: somebody has the database open, maybe this process.
        RunError: the database cannot be used, or counts do not add up.
        OSError: the disk is full, or the database is closed to this user.
    """
    screen = screen_of(say)
    with library_call():
        chosen = find_run(run, at=at)
        report_left_out(chosen.folder.parent, screen)
        if note := describe_older_run(chosen):
            screen(note)
        if rebuild:
            return _result(chosen, rebuild_database(chosen, screen, screen), None, 0)
        gathered, seen = gather_run(chosen, executor_of(chosen), screen, screen)
        return _result(chosen, gathered, seen, _judge(seen, screen))


def _judge(seen: RunStatus, screen: Screen) -> int:
    """Return the exit code, and say what to do if there are no labels."""
    if not any(judgement.state is State.DONE for judgement in seen.judgements):
        screen(f"no shard is done yet: the run is {seen.state}")
        screen(describe_next_step(seen, is_gathered=False))
        return EXIT_CODE[seen.state]
    if seen.lacks_labels:
        screen(describe_no_label(seen.labels))
        return FAILED
    return 0


def _result(run: Run, gathered: Gathered, seen: RunStatus | None, code: int) -> GatherResult:
    return GatherResult(
        run=run,
        rows_before=gathered.rows_before,
        rows_added=gathered.rows_added,
        rows_after=gathered.rows_after,
        unlabelable=gathered.unlabelable,
        already_present=gathered.already_present,
        rejected_outputs=gathered.rejected,
        unreadable_files=gathered.unreadable,
        exit_code=FAILED if gathered.rejected or gathered.unreadable else code,
        look=seen,
    )
