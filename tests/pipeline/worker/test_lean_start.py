"""A task imports NumPy only where its classifier may need it."""

import json
import pathlib
import subprocess
import sys

import pytest

from pipeline.worker.lean_start import needs_numpy


@pytest.mark.parametrize(
    ("manifest", "needed"),
    [
        ('{"classifier": {"type": "perspective"}, "needs_numpy": false}', False),
        ('{"classifier": {"type": "perspective"}}', True),
        ('{"needs_numpy": "false"}', True),
        ('{"needs_numpy": false', True),
        ("[" * 100_000, True),
        (None, True),
    ],
    ids=["not needed", "older version", "mistyped", "torn", "deep", "missing"],
)
def test_a_task_imports_numpy_unless_the_manifest_says_that_it_needs_none(
    tmp_path: pathlib.Path, manifest: str | None, needed: bool
) -> None:
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    assert needs_numpy(tmp_path) is needed


@pytest.mark.parametrize("needed", [True, False])
def test_the_process_of_a_task_follows(tmp_path: pathlib.Path, needed: bool) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"needs_numpy": needed}))
    order = ["--shard-index=0", "--array-task-index=0", "--attempt=1", "--parallel-tasks=1"]
    command = [sys.executable, "-X", "importtime", "-m", "pipeline.worker", "--run-dir", tmp_path]
    done = subprocess.run([*command, *order], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1  # that is not much of a manifest
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pyarrow.lib" in imported
    assert ("numpy.linalg" in imported) is needed
