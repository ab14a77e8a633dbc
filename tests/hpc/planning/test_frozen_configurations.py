"""A configuration is frozen today as it was when it was recorded: labels before and after compare.

recorded.json has, for each configuration, what the manifest kept of it, of most since commit
6f9faab. An entry may be added, and none may be changed: equal configurations must have an equal
`config_hash`. Keys of `retry` that were added since are not compared, because they change no
label. Configurations of the project that were edited since are kept in of_6f9faab/.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hpc.config import run_config
from hpc.config.run_config import Config
from hpc.executors.slurm.client import Slurm
from hpc.planning.run_spec import RunSpec, validate
from pipeline.classifiers import valence
from tests.hpc import downloaded_models

ROOT = Path(__file__).parents[3]
RECORDED: dict[str, Any] = json.loads((ROOT / "tests/data/frozen/recorded.json").read_text())


@pytest.fixture
def recorded_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the recorded values say of the machine that they were made on; returns its home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PERSPECTIVE_API_KEY", "OPENAI_API_KEY", "MISTRAL_API_KEY"):
        monkeypatch.setenv(name, "k")
    monkeypatch.setattr(sys, "executable", "/envs/classify/bin/python")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(Slurm, "array_size", lambda _: 1000)
    monkeypatch.setattr(valence, "version", lambda package: "3.3.2")
    monkeypatch.setattr(Slurm, "array_size", lambda slurm: 1000)
    downloaded_models.download(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(path: Path) -> Config:
    """Load a configuration where nobody knows the file system of the run root."""
    return run_config.load(path, mounts=Path("/nonexistent"))


def frozen(path: Path) -> RunSpec:
    return validate(load(path))


def as_json(values: Mapping[str, object]) -> str:
    """Return the text of a manifest: the order of the keys and the form of numbers count."""
    return json.dumps(values, ensure_ascii=False)


def test_every_configuration_of_the_project_is_recorded() -> None:
    shipped = {f"configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    assert shipped <= RECORDED.keys()


@pytest.mark.parametrize("name", RECORDED)
def test_a_configuration_is_frozen_byte_for_byte_as_before(
    name: str, recorded_machine: Path
) -> None:
    spec, config = frozen(ROOT / name), load(ROOT / name)
    now = {
        "name": config.name,
        "classifier": spec.classifier,
        "config_hash": spec.label_spec.hash,
        "min_text_length": config.backlog.min_text_length,
        "checkpoint_rows": config.checkpoint.rows,
        "checkpoint_seconds": config.checkpoint.seconds,
        "retry": {
            key: value
            for key, value in config.retry.to_json().items()
            if key in RECORDED[name]["retry"]
        },
        "cluster": config.cluster.to_json(),
    }
    assert as_json(now).replace(str(recorded_machine), "HOME") == as_json(RECORDED[name])
