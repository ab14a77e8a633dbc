"""Look at a run soon after something was done, and on average no more often than configured.

The first tasks of a run may take seconds, and a person who has just resubmitted shards wants to see
them. Slurm should be asked only tens of seconds apart: tight polling has frozen clusters
(nextflow#1477). So a few looks come early, and later ones come later until that is made up for.
Does no I/O, and reads no clock.
"""

QUICK_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""The pauses between the first looks."""
MOST_AHEAD = 8
"""How many more looks than usual there may have been at any time."""
_STRETCH = 1.25
"""How much longer a pause is while there were more looks than usual."""


class PollInterval:
    """Chooses the pauses between the looks of one process at one run."""

    def __init__(self, poll_s: float) -> None:
        """Begin with quick looks.

        Args:
            poll_s: how far apart looks usually are, in seconds.
        """
        self._poll_s = poll_s
        self._quick = tuple(pause for pause in QUICK_S if pause < poll_s)
        self._taken = 0
        self._ahead_s = 0.0
        self._is_settled = False

    def quicken(self) -> None:
        """Let the next looks come soon, unless there were many of these lately."""
        cost = sum(self._poll_s - pause for pause in self._quick)
        self._is_settled = False
        if self._ahead_s + cost <= MOST_AHEAD * self._poll_s:
            self._taken = 0

    def settle(self) -> None:
        """Look at the usual interval from now on, such as when Slurm refuses or is silent."""
        self._taken = len(self._quick)
        self._is_settled = True

    def next_pause_s(self, elapsed_s: float, due_s: float | None = None) -> float:
        """Return how long to wait before the next look.

        Args:
            elapsed_s: how long ago the last look began. A look that takes long, because Slurm is
                slow, is not followed by a quick one.
            due_s: in how many seconds something can be done that cannot be done now, so that a look
                had better come then, and not later; None if nothing is known.
        """
        if self._taken < len(self._quick):
            pause = max(self._quick[self._taken], min(elapsed_s, self._poll_s))
            self._taken += 1
        else:
            usual = self._poll_s * (_STRETCH if self._ahead_s > 0 else 1)
            pause = usual - min(elapsed_s, usual / 2)
        if due_s is not None and not self._is_settled:
            soon = max(due_s, elapsed_s, QUICK_S[0])
            if self._ahead_s + self._poll_s - elapsed_s - soon <= MOST_AHEAD * self._poll_s:
                pause = min(pause, soon)
        self._ahead_s = max(0.0, self._ahead_s + self._poll_s - elapsed_s - pause)
        return pause
