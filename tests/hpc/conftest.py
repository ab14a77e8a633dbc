"""A working folder, and the verbs in it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hpc.cli_bench import Bench
from tests.hpc.in_process import Done

Here = Callable[..., Done]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def here(bench: Bench) -> Here:
    """`here(verb, *arguments)` in the working folder; what it printed and its exit code."""
    return bench.hpc
