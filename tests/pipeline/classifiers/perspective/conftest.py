"""What all tests of this folder need: a key, and waits of no time where the real ones are seconds
and minutes."""

import pytest

from pipeline.classifiers.perspective.classifier import Perspective
from pipeline.service.service import RequestPolicy
from tests.pipeline.classifiers.classifier_setup import KEY


@pytest.fixture(autouse=True)
def quick_perspective(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the classifier retry a failed request at once, and not wait for the next minute."""
    quick = RequestPolicy(
        first_wait_s=0.0005, longest_wait_s=0.0005, until_quota_resets=lambda: 0.0005
    )
    monkeypatch.setattr(Perspective, "policy", quick)


@pytest.fixture(autouse=True)
def perspective_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the key that every classifier of this folder reads."""
    monkeypatch.setenv("PERSPECTIVE_API_KEY", KEY)
