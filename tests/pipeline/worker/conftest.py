"""The scripted classifier for tasks, and this process's signal handlers put back."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline import scripted_classifier


@pytest.fixture
def classifier_path(tmp_path: Path) -> Path:
    """A folder for the module path, with the scripted classifier as an installed package."""
    return scripted_classifier.install(tmp_path)


@pytest.fixture(scope="module")
def _restored_signals() -> Iterator[None]:
    """Tasks in this process install handlers of their own."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
