"""A real browser for the pages of `hpc report`."""

import os
from collections.abc import Iterator

import pytest

from tests.browser.chromium import Chromium, find_browser


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = find_browser()
    if program is None:
        assert os.environ.get("CI") != "true", "CI has no Chromium: see .ci/install-chromium"
        pytest.skip("there is no Chromium: bash .ci/install-chromium")
    browser = Chromium(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()
