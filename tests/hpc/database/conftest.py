"""Releases of DuckDB that are older than ours."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.pipeline.database import old_duckdb
from tests.pipeline.database.old_duckdb import OldDuckDB


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], OldDuckDB]:
    """Return what gives a release of DuckDB, which is downloaded once whatever the tests' order."""
    folder = tmp_path_factory.mktemp("duckdb")
    return cache(lambda version: old_duckdb.install(version, folder / version))


@pytest.fixture(params=old_duckdb.VERSIONS)
def older(request: pytest.FixtureRequest, release: Callable[[str], OldDuckDB]) -> OldDuckDB:
    """An older release of DuckDB."""
    return release(request.param)
