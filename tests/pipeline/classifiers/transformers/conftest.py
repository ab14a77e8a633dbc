"""A model that every test of this folder may load, but not change."""

from pathlib import Path

import pytest


@pytest.fixture(scope="package")
def toxic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a multi-label model with random weights."""
    tiny_model = pytest.importorskip("tests.pipeline.classifiers.transformers.tiny_model")
    folder: Path = tiny_model.save(tmp_path_factory.mktemp("model") / "tiny-toxic")
    return folder
