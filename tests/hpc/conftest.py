"""A working folder, and the verbs in it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hpc.cli_bench import Bench
from tests.hpc.processes import tasks_of


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A user's working folder on this machine. Tasks that a test leaves behind are killed."""
    yield Bench(tmp_path)
    for task in tasks_of(tmp_path):
        os.kill(task, signal.SIGKILL)
