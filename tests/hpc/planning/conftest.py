"""Plan in the working folder of the bench, as a user does."""

import pytest

from tests.hpc.cli_bench import Bench


@pytest.fixture
def in_working_folder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench.folder)
