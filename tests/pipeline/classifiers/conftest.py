"""The tests of this folder are about what is asked and answered: no quota, it is slow to join."""

from collections.abc import Iterator

import pytest

from pipeline.classifiers.llm import classifier as llm
from pipeline.classifiers.perspective import classifier as perspective
from pipeline.service.quota.pace import Pace


@pytest.fixture(autouse=True, scope="package")
def _no_quota() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (llm, perspective):
            patch.setattr(module, "pace_of", lambda *_, owner: Pace())
        yield
