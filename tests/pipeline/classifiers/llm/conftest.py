"""Retries within milliseconds, for tests against scripted servers."""

import functools

import pytest

from pipeline.classifiers.llm import chat_service
from pipeline.service.endpoint import RequestPolicy


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the classifier retry a failed request at once."""
    quick = functools.partial(RequestPolicy, first_wait_s=0.0005, longest_wait_s=0.0005)
    monkeypatch.setattr(chat_service, "RequestPolicy", quick)
