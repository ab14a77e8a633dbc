"""A key for the classifiers of this folder, and retries within milliseconds."""

import pytest

from pipeline.classifiers.moderation.classifier import Moderation
from tests.pipeline.classifiers.classifier_setup import KEY, QUICK


@pytest.fixture(autouse=True)
def quick_moderation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the classifier retry a failed request at once, and set its key."""
    monkeypatch.setattr(Moderation, "policy", QUICK)
    monkeypatch.setenv("MODERATION_KEY", KEY)
