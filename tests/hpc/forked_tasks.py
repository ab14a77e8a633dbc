"""Let the local executor fork its tasks where verbs are called in-process."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import IO

import pytest

from hpc.executors.local import tasks
from tests.pipeline.task_server import MODULE, ForkedTask, task_server


def _popen(
    command: Sequence[str],
    *,
    stdin: int,
    stdout: IO[bytes],
    stderr: int,
    start_new_session: bool,
    pass_fds: Sequence[int],
) -> "ForkedTask | subprocess.Popen[bytes]":
    """Start a task as `subprocess.Popen` does with these arguments."""
    assert command[:3] == [sys.executable, "-m", MODULE]
    assert (stdin, stderr, start_new_session) == (subprocess.DEVNULL, subprocess.STDOUT, True)
    if not task_server().suits(os.environ):
        return subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True,
            pass_fds=pass_fds,
        )  # fmt: skip
    return task_server().start(
        command[3:], (stdout.fileno(), stdout.fileno()), os.environ, pass_fds
    )


@contextmanager
def forked_tasks() -> Iterator[None]:
    """Let the local executor of this process fork its tasks."""
    instead = SimpleNamespace(Popen=_popen, DEVNULL=subprocess.DEVNULL, STDOUT=subprocess.STDOUT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "subprocess", instead)
        yield
