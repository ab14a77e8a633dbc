"""Releases of DuckDB that are older than ours."""

from collections.abc import Iterator

import pytest

from tests.pipeline.database import old_duckdb
from tests.pipeline.database.old_duckdb import OldDuckDB


@pytest.fixture(scope="session", params=old_duckdb.VERSIONS)
def older(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OldDuckDB]:
    """An older release of DuckDB."""
    yield old_duckdb.install(request.param, tmp_path_factory.mktemp("duckdb") / request.param)
