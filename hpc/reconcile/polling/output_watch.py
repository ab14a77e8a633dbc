"""Notice that the last output of a run has appeared, without asking Slurm.

A look at the run asks Slurm, so looks are tens of seconds apart. Listing one folder costs next to
nothing, and shows the moment at which there is something to gather and nothing to wait for.
"""

import os
import time
from collections.abc import Callable

from hpc.run.model.run import Run
from pipeline.run_files.manifest import output_name

CHECK_S = 1.0
"""How far apart two listings are at least, in seconds."""
# Listing takes at most this share of the time: a folder of 10,000 files on NFS can be slow.
_LARGEST_SHARE = 0.05


class OutputWatch:
    """Tells once that every shard has an output; whether it verifies is for the next look to see.

    An output that is there but rejected would otherwise bring one look after another.
    """

    def __init__(self, run: Run, *, clock: Callable[[], float] = time.monotonic) -> None:
        """List nothing yet.

        Args:
            run: the run to watch.
            clock: monotonic, in seconds.
        """
        self._folder = run.folder / "outputs"
        self._names = {output_name(shard.index) for shard in run.manifest.shards}
        self._clock = clock
        self._no_check_before = 0.0
        self._has_said_so = False

    def is_due(self) -> bool:
        """Report whether the last output has appeared since this last said so."""
        began = self._clock()
        if began < self._no_check_before:
            return False
        are_all_there = self._are_all_there()
        took_s = self._clock() - began
        self._no_check_before = began + max(CHECK_S, took_s / _LARGEST_SHARE)
        is_news = are_all_there and not self._has_said_so
        self._has_said_so = are_all_there
        return is_news

    def _are_all_there(self) -> bool:
        """Report whether every shard has an output; not where the folder cannot be listed now."""
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - 10 times as fast as iterdir
        except OSError:
            return False
        return self._names.issubset(names)
