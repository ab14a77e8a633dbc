"""Wait for what has to happen, in the one way in which all tests do."""

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# For what takes a second on a quiet machine. It ends a test of something that never happens.
PATIENCE_S = 300.0


def wait_until(
    happened: Callable[[], T],
    what: str = "what the test waits for",
    *,
    task: "subprocess.Popen[str] | None" = None,
    seconds: float = PATIENCE_S,
    poll_seconds: float = 0.01,
) -> T:
    """Return the first true answer of `happened`, which is asked at least once.

    Args:
        happened: asked every `poll_seconds`.
        what: names the event in the error.
        task: a process that has to live until then; it is killed if the wait fails.
        seconds: how long to wait.
        poll_seconds: the pause between two questions.

    Raises:
        TimeoutError: it did not happen; shows the last answer.
        AssertionError: the process ended before; shows what it printed.
    """
    deadline = time.monotonic() + seconds
    while not (answer := happened()):
        if task is not None and task.poll() is not None:
            raise AssertionError((what, task.returncode, *task.communicate()))
        if time.monotonic() > deadline:
            if task is not None:
                task.kill()
            raise TimeoutError(f"{what}: not within {seconds:g} s; last answer: {answer!r}")
        time.sleep(poll_seconds)
    return answer
