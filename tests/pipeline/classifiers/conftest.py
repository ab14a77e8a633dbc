"""Classifiers without a quota, which is slow to join: these tests are about requests."""

from collections.abc import Iterator

import pytest

from pipeline.classifiers.llm import chat_service
from pipeline.classifiers.perspective import classifier as perspective
from pipeline.service.quota.rate_limiter import RateLimiter


@pytest.fixture(autouse=True, scope="package")
def _no_quota() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (chat_service, perspective):
            patch.setattr(module, "open_rate_limiter", lambda *_, owner: RateLimiter())
        yield
