"""Make system calls on chosen files fail in the processes that a test starts."""

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.hpc.cli_bench import Bench
from tests.hpc.forked_verbs import ForkedVerbs
from tests.hpc.in_process import Done

SOURCE = Path(__file__).with_name("fault_injector.c")
OPERATIONS = frozenset({
    "close", "link", "list", "lock", "map", "mkdir", "open", "read", "rename", "stat", "sync",
    "unlink", "write",
})  # fmt: skip
RULES = 32
_RULE = struct.Struct("=IiIIII16s512s128s")  # `struct rule` of the injector
_ACTIVE, _COUNTERS = struct.Struct("=I"), struct.Struct("=II")
_COUNTERS_AT = 16


class NoCompilerError(Exception):
    """This machine has no C compiler."""


class InjectedFault(NamedTuple):
    """A call that failed because a test wanted it."""

    process: int
    operation: str
    error: int
    path: str


def build(folder: Path) -> Path:
    """Compile the injector into a folder, and return the library."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompilerError
    library = folder / "fault_injector.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


class Fault:
    """A rule that is in force until `stop`."""

    def __init__(self, table: mmap.mmap, place: int) -> None:
        self._table = table
        self._place = place * _RULE.size

    @property
    def matched(self) -> int:
        """How many calls the rule was about, whether they failed or not."""
        return self._counters()[0]

    @property
    def injected(self) -> int:
        """How many calls failed."""
        return self._counters()[1]

    def stop(self) -> None:
        """Let all calls succeed from now on."""
        _ACTIVE.pack_into(self._table, self._place, 0)

    def _counters(self) -> tuple[int, int]:
        matched, injected = _COUNTERS.unpack_from(self._table, self._place + _COUNTERS_AT)
        return matched, injected


class Faults:
    """The faults of one test. Processes that have `environment()` obey them at once."""

    def __init__(self, library: Path, folder: Path, verbs: ForkedVerbs | None = None) -> None:
        self._library = library
        self._verbs = verbs
        self._folder = folder
        self._path = folder / "fault-table"
        self._path.write_bytes(bytes(RULES * _RULE.size))
        with self._path.open("r+b") as file:
            self._table = mmap.mmap(file.fileno(), 0)
        self._rules: list[Fault] = []

    def fail(
        self,
        operation: str,
        pattern: str,
        error: int,
        *,
        skip: int = 0,
        times: int = 0,
        process: str = "*",
    ) -> Fault:
        """Let an operation fail from now on.

        Args:
            operation: one of OPERATIONS. `list` is about a folder, `map` is mmap, `stat` has all
                of its family, `write` has truncation too, and a rule for `rename` or `link` may
                name either path.
            pattern: of the absolute path; `*` matches any characters, `/` too.
            error: the errno.
            skip: how many matching calls succeed before the first that fails.
            times: how many calls fail; 0 for all.
            process: pattern of the command lines that the rule is about.
        """
        assert operation in OPERATIONS, operation
        place = len(self._rules)
        assert place < RULES, "clear() makes room"
        words = (operation.encode(), pattern.encode(), process.encode())
        for word, room in zip(words, (16, 512, 128), strict=True):
            assert len(word) < room, word
        fault = Fault(self._table, place)
        _RULE.pack_into(self._table, place * _RULE.size, 0, error, skip, times, 0, 0, *words)
        _ACTIVE.pack_into(self._table, place * _RULE.size, 1)  # last: processes may be looking
        self._rules.append(fault)
        return fault

    def clear(self) -> None:
        """End all faults, and forget what was injected."""
        for rule in self._rules:
            rule.stop()
        self._rules.clear()
        self._log.unlink(missing_ok=True)

    def injected(self) -> list[InjectedFault]:
        """Return the calls that failed, in their order."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        words = (line.split(" ", maxsplit=3) for line in lines)
        return [InjectedFault(int(pid), name, int(error), at) for pid, name, error, at in words]

    def environment(self) -> dict[str, str]:
        """Return the variables with which a process, and those that it starts, obey the rules."""
        preloaded = os.pathsep.join(
            filter(None, (os.environ.get("LD_PRELOAD"), str(self._library)))
        )
        return {"LD_PRELOAD": preloaded, "FAULT_TABLE": str(self._path)}

    def hpc(self, bench: Bench, verb: str, *arguments: object) -> Done:
        """Run a verb to its end in a process under the faults, and so are its tasks."""
        assert self._verbs, "this is about a server of its own"
        words = [verb, *map(str, arguments)]
        out, err = self._folder / "stdout", self._folder / "stderr"
        env = {**bench.env, **self.environment()}
        code = self._verbs.run(words, out, err, folder=bench.folder, env=env)
        return Done(words, code, out.read_text(), err.read_text())

    @property
    def _log(self) -> Path:
        return self._path.with_name(f"{self._path.name}.log")
