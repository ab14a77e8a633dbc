"""Learn from sbatch's answers how many jobs fit, where Slurm does not show its limits.

Does no I/O.
"""

from collections.abc import Sequence

from hpc.reconcile.submit import SubmittedWave
from hpc.run.plan import ShardSelection

# How many rounds to leave Slurm alone at most when it took no job at all and nothing has ended.
MOST_ROUNDS_BETWEEN_TRIES = 20


class RoomAtSlurm:
    """What one supervising process has learned about a limit of submitted jobs.

    Asking sbatch again every round, for days, would be a burden on the controller. So after a
    refusal the next try is as large as what was taken last, and without that it comes later and
    later, or when a task has ended.
    """

    def __init__(self, spare_jobs: int = 0) -> None:
        """Begin without an answer; leave room for `spare_jobs` beside the tasks."""
        self._spare_jobs = spare_jobs
        self._at_most: int | None = None
        self._rounds_to_skip = 0
        self._next_skip = 1
        self._alive = 0
        self.is_lacking = False
        self._reason = ""

    def selection(self, shards: Sequence[int], alive: int) -> ShardSelection | None:
        """Return what to submit of these shards; None if Slurm should be left alone.

        Args:
            shards: the shards that could be submitted.
            alive: how many tasks of the run are alive.
        """
        has_ended = alive < self._alive
        self._alive = alive
        if has_ended:
            self._rounds_to_skip, self._next_skip = 0, 1
        if self._rounds_to_skip:
            self._rounds_to_skip -= 1
            return None
        return ShardSelection(
            shards=tuple(shards),
            at_most=self._at_most,
            is_patient=True,
            spare_jobs=self._spare_jobs,
        )

    def learn(self, wave: SubmittedWave) -> None:
        """Remember how much Slurm took."""
        self.is_lacking = bool(wave.waiting)
        self._reason = wave.reason
        self._alive += wave.sent
        if wave.sent:
            self._next_skip = 1
        if wave.is_refused:
            self._at_most = max(1, wave.sent)
        elif self._at_most is not None and wave.sent:
            self._at_most = 2 * self._at_most
        if wave.is_refused and not wave.sent:
            self._rounds_to_skip = self._next_skip
            self._next_skip = min(2 * self._next_skip, MOST_ROUNDS_BETWEEN_TRIES)

    def last_wave(self, shards: int) -> SubmittedWave:
        """Return that this many shards wait for the reason that was seen last."""
        return SubmittedWave(waiting=shards, reason=self._reason)
