"""A bench that is put back to what it was: a copy takes milliseconds, another run takes seconds."""

import shutil

from tests.hpc.cli_bench import Bench


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
