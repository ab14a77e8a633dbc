"""`python -m tests.hpc.adoption.killed_verb N VERB …`: a verb that is killed before its Nth step.

A step is whatever lets a file of a run appear, disappear, or get another name.
"""

import os
import signal
import sys
from itertools import count

from hpc.command_line import cli

STEPS = frozenset({"os.link", "os.mkdir", "os.remove", "os.rename"})


def _kill_before(step: int) -> None:
    steps = count(1)

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event in STEPS and "/runs/" in str(arguments[0]) and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


if __name__ == "__main__":
    _kill_before(int(sys.argv[1]))
    sys.argv = ["hpc", *sys.argv[2:]]
    cli.run_from_shell()
