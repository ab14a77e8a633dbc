"""Retries within milliseconds for tests against scripted servers, and a key for them."""

import functools

import pytest

from pipeline.classifiers.llm import chat_service
from pipeline.service.service import RequestPolicy
from tests.pipeline.classifiers.classifier_setup import KEY


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the classifier retry a failed request at once."""
    quick = functools.partial(RequestPolicy, first_wait_s=0.0005, longest_wait_s=0.0005)
    monkeypatch.setattr(chat_service, "RequestPolicy", quick)


@pytest.fixture
def llm_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the key that a classifier with `api_key_env: LLM_KEY` reads."""
    monkeypatch.setenv("LLM_KEY", KEY)
