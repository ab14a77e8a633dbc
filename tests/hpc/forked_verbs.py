"""Run `hpc …` in processes of their own, without the second that each takes to import everything.

`python -m tests.hpc.forked_verbs` reads a line `[[word, ...], stdout, stderr]` for each command,
forks, and answers with the exit code. A stream is a file, or PIPE: a pipe that nobody reads.
The words `-m MODULE …` run a module, as `python -m` does.
"""

import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from hpc.command_line import cli

PIPE = "a pipe that nobody reads"


class ForkedVerbs:
    """Runs commands in a folder, each as the shell of an environment would."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.hpc.forked_verbs"],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, words: list[str], out: Path | str, err: Path | str) -> int:
        """Return the exit code of `hpc WORDS`, with its streams connected to files or a pipe."""
        assert self._server.stdin and self._server.stdout
        print(json.dumps([words, str(out), str(err)]), file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.communicate()


def _serve() -> None:
    for verb in cli.VERBS:
        importlib.import_module(f"hpc.{verb}")
    # Otherwise each process looks through all that was imported when it ends, and copies it.
    gc.freeze()
    for line in sys.stdin:
        words, out, err = json.loads(line)
        process = os.fork()
        if process == 0:
            _become(out, err)
            if words[0] == "-m":
                sys.argv = words[1:]
                sys.modules.pop(words[1], None)  # it is run, not imported
                runpy.run_module(words[1], run_name="__main__", alter_sys=True)
                sys.exit("the module has ended without an exit code")
            sys.argv = ["hpc", *words]
            cli.run_from_shell()
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


def _become(out: str, err: str) -> None:
    """Turn the forked process into one as a shell starts it."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, place in ((1, out), (2, err)):
        if place == PIPE:
            reading, writing = os.pipe()
            os.close(reading)
        else:
            writing = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(writing, number)
        os.close(writing)


if __name__ == "__main__":
    _serve()
