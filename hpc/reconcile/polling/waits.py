"""Let time pass between two looks of a supervising process: until something can be seen or done."""

import time
from collections.abc import Callable

from hpc.reconcile.polling.grace_end import until_grace_ends_s
from hpc.reconcile.polling.output_watch import OutputWatch
from hpc.reconcile.polling.poll_interval import PollInterval
from hpc.run.model.attempts import Phase
from hpc.run.model.run import Run
from hpc.run.run_state import RunStatus
from hpc.run.run_view import RunView

# Once all is gathered, how long to wait for the ends of tasks that have just published. Slurm's
# accounting has them some three seconds later.
ENDS_PAUSES_S = (2.0, 3.0)


class Waits:
    """Chooses and passes the time to the next look."""

    def __init__(
        self, run: Run, view: RunView, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with quick looks.

        Args:
            run: the run that is looked at.
            view: lets time pass.
            clock: monotonic, in seconds.
        """
        self.interval = PollInterval(run.cluster.poll_seconds)
        self._poll_s = run.cluster.poll_seconds
        self._view = view
        self._outputs = OutputWatch(run, clock=clock)
        self._awaited_ends = 0

    def until_next_look(self, status: RunStatus, elapsed_s: float) -> None:
        """Let time pass until the next look is due.

        It comes early when the last output has appeared, and when the grace time of the shards that
        are ending is over.

        Args:
            status: the run as the last look saw it.
            elapsed_s: how long ago that look began.
        """
        pause_s = self.interval.next_pause_s(elapsed_s, until_grace_ends_s(status))
        self._view.wait(pause_s, self._outputs.is_due)

    def until_tasks_end(self, status: RunStatus) -> bool:
        """Wait for the ends of tasks that have just published; report whether this waited.

        Their labels are in the database. The history should have their ends as well, but not for
        long: a task may hang after its output.

        Args:
            status: the run as the last look saw it, with the attempts of all shards.
        """
        are_alive = any(
            attempt.phase is Phase.ACTIVE
            for shard in status.observation.shards
            for attempt in shard.attempts[-1:]
        )
        if not are_alive or self._awaited_ends >= len(ENDS_PAUSES_S):
            return False
        self._view.wait(min(ENDS_PAUSES_S[self._awaited_ends], self._poll_s))
        self._awaited_ends += 1
        return True
