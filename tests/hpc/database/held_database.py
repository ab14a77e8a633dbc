"""Another process, such as a notebook, that has the database open."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLD = (
    "import sys, duckdb; c = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == 'r'); "
    "print('held', flush=True); input(); "
    "print(c.sql('SELECT count(*) FROM labels_test').fetchall(), flush=True)"
)


class Holder:
    """A process that has a database open until it is asked for its number of labels."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(path), "r" if read_only else "w"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "held"
        self.pid = self._process.pid

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def let_go(self) -> str:
        """Close the database; return the number of labels that the process saw in it."""
        if self._process.stdin is None or self._process.stdin.closed:
            return ""
        print(file=self._process.stdin, flush=True)
        seen = self._read()
        self._process.communicate()
        return seen


@contextmanager
def held(path: Path, *, read_only: bool = True) -> Iterator[Holder]:
    """Have another process hold a database during the block, or until it lets go."""
    holder = Holder(path, read_only=read_only)
    try:
        yield holder
    finally:
        holder.let_go()
