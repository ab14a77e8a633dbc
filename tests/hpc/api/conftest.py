"""A folder in which a run was submitted by a function."""

import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from hpc import api
from tests.docs.pages import ROOT

CONFIG = "configs/quickstart.yaml"
POSTS = 60


@pytest.fixture(scope="session")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a complete run of 60 posts in three shards."""
    folder = tmp_path_factory.mktemp("submitted")
    shutil.copytree(ROOT / "configs", folder / "configs")
    with chdir(folder):
        api.submit(
            CONFIG,
            selection=api.Selection(limit=POSTS),
            overrides={"sharding.rows_per_shard": 20},
        )
    return folder


@pytest.fixture
def project(submitted: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of that folder of one's own, as the working folder."""
    folder = tmp_path / "project"
    shutil.copytree(submitted, folder)
    with chdir(folder):
        yield folder
