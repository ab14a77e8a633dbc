"""A task imports NumPy only where its classifier may need it."""

import json
import pathlib
import subprocess
import sys

import pytest

from pipeline.classifiers.registry import installed
from pipeline.classifiers.shipped import WITHOUT_NUMPY
from pipeline.worker.lean_start import does_without_numpy


@pytest.mark.parametrize(
    ("manifest", "imported"),
    [
        (json.dumps({"classifier": {"type": "perspective"}, "shards": []}), False),
        (json.dumps({"classifier": {"type": "transformers"}}), True),
        (json.dumps({"classifier": {"type": "of_another_package"}}), True),
        (json.dumps({"classifier": {"type": ["perspective"]}}), True),
        ('{"classifier": {"type": "perspective"', True),
        ("[" * 100_000, True),
        (None, True),
    ],
    ids=["own", "with arrays", "of others", "mistyped", "torn", "deep", "missing"],
)
def test_a_task_imports_numpy_unless_its_classifier_is_known_to_do_without(
    tmp_path: pathlib.Path, manifest: str | None, imported: bool
) -> None:
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    assert does_without_numpy(tmp_path) is not imported


@pytest.mark.parametrize("kind", ["perspective", "of_another_package"])
def test_the_process_of_a_task_follows(tmp_path: pathlib.Path, kind: str) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"classifier": {"type": kind}}))
    order = ["--shard-index=0", "--array-task-index=0", "--attempt=1", "--parallel-tasks=1"]
    command = [sys.executable, "-X", "importtime", "-m", "pipeline.worker", "--run-dir", tmp_path]
    done = subprocess.run([*command, *order], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1  # that is not much of a manifest
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pyarrow.lib" in imported
    assert ("numpy.linalg" in imported) is (kind != "perspective")


def test_classifiers_without_numpy_are_ours() -> None:
    assert set(installed()) >= WITHOUT_NUMPY
