"""Gather a run's outputs while it is supervised: what is new after each round, the rest at the end.

Another process may have the database open, such as a notebook. While tasks are under way, the next
round tries again.
"""

import contextlib

from hpc.database.gather_outputs import Gathered
from hpc.executors.base import Executor
from hpc.reconcile.gathering.gather import gather_and_report
from hpc.reconcile.gathering.pack import SHARDS_AT_ONCE, pack_gathered
from hpc.run.model.run import Say
from hpc.run.model.shards import State
from hpc.run.run_state import RunStatus
from hpc.run.run_view import RunView
from pipeline.database.duckdb_file import HOW_TO_CLOSE, HeldDatabaseError, Patience
from pipeline.errors import BusyError, InputError

# How long a round waits for a process that has the database open, in seconds. At the end there is
# nothing else to do.
ROUND_WAIT_S = 1.0
LAST_WAIT_S = 30.0


class GatherRounds:
    """What one supervising process has gathered so far."""

    def __init__(self, executor: Executor, view: RunView, say_once: Say, *, once: bool) -> None:
        """Begin with nothing.

        Args:
            executor: what runs the tasks.
            view: shows messages and how many outputs were gathered.
            say_once: shows a message that holds for many rounds only when it changes.
            once: whether there is a single round, so that somebody else gathers the rest.
        """
        self._executor = executor
        self._view = view
        self._say_once = say_once
        self._once = once
        self._last_holders = ""
        self._gathered_shards = 0
        self._packed_shards = 0
        self._has_gathered = False
        self.rows_added = 0
        """How many rows this process has added to the database."""

    def gather_for_now(self, status: RunStatus) -> None:
        """Gather what is new, or leave it for another round if the database is in use."""
        done = sum(judgement.state is State.DONE for judgement in status.judgements)
        if done == self._gathered_shards:
            return
        try:
            self._gather(status, ROUND_WAIT_S)
        except HeldDatabaseError as error:
            self.say_held(error)
        except InputError as error:  # a person can still close the folder while tasks run
            self._say_once(f"not gathered yet: {error}")
        else:
            self._gathered_shards = done
            self._pack_for_now(status, done)

    def gather_last(self, status: RunStatus) -> Gathered:
        """Gather when nothing is under way any more. Raises as `gather_and_report`."""
        return self._gather(status, LAST_WAIT_S)

    def _gather(self, status: RunStatus, wait_s: float) -> Gathered:
        """Gather. The first time, convert a database that only DuckDB 2 can open."""
        patience = Patience(seconds=wait_s)
        gathered = gather_and_report(
            status,
            self._view,
            patience=patience,
            converts=not self._has_gathered,
            is_quiet=True,
            progress=self._view,
        )
        self._has_gathered = True
        self.rows_added += gathered.rows_added
        self._last_holders = ""
        return gathered

    def say_held(self, error: HeldDatabaseError) -> None:
        """Say who has the database open, once for each holder."""
        if error.where == self._last_holders:
            return
        self._last_holders = error.where
        when = "the next round gathers the labels" if self._once else "the labels are gathered then"
        self._view(f"not gathered yet: {error.where}. {HOW_TO_CLOSE}; {when}")

    def _pack_for_now(self, status: RunStatus, done: int) -> None:
        """Pack what was gathered, whenever that is worth listing the folders for it."""
        if done - self._packed_shards < SHARDS_AT_ONCE:
            return
        self._packed_shards = done
        with contextlib.suppress(BusyError):  # the database's; there will be another round
            pack_gathered(status, self._executor)
