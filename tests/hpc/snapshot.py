"""A bench that is put back to what it was: a copy takes milliseconds, another run takes seconds."""

import shutil

from tests.hpc.cli_bench import Bench
from tests.hpc.growing_backlog import GrowingBacklog


class Snapshot:
    """What is in the folder of a bench now. Its files name the folder, so they go back there."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._kept = bench.folder.with_name(f"{bench.folder.name}-kept")
        shutil.copytree(bench.folder, self._kept, symlinks=True)

    def restore(self) -> Bench:
        """Put the folder back, whatever has happened to it, and return its bench."""
        shutil.rmtree(self._bench.folder)
        shutil.copytree(self._kept, self._bench.folder, symlinks=True)
        return self._bench


class BacklogSnapshot:
    """A backlog and its runs as they are now."""

    def __init__(self, backlog: GrowingBacklog) -> None:
        self._backlog = backlog
        self._posts = list(backlog.posts)
        self._snapshot = Snapshot(backlog.bench)

    def restore(self) -> GrowingBacklog:
        """Put the backlog, its runs and its database back, and return them."""
        self._snapshot.restore()
        self._backlog.posts = list(self._posts)
        return self._backlog
