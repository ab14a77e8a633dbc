"""What all tests of this folder need: a key, and waits of no time where the real ones are seconds
and minutes."""

import functools

import pytest

from pipeline.classifiers.perspective import classifier
from pipeline.service.endpoint import RequestPolicy
from tests.pipeline.classifiers.asking import KEY


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = functools.partial(RequestPolicy, first_wait_s=0.0005, longest_wait_s=0.0005)
    monkeypatch.setattr(classifier, "RequestPolicy", quick)
    monkeypatch.setattr(classifier, "until_next_minute", lambda: 0.0005)
    monkeypatch.setenv("PERSPECTIVE_API_KEY", KEY)
