"""The page on scale: other engines read the files of the labels as its examples do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import read
from tests.hpc.cli_bench import Bench
from tests.hpc.growing_backlog import GrowingBacklog, post

PAGE = "docs/scale.md"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A project with three labels that were moved into Parquet files, as the page says."""
    folder = tmp_path_factory.mktemp("study")
    made = GrowingBacklog(folder)
    place = {"run_root": str(folder / "runs"), "database": str(folder / "labels.duckdb")}
    made.bench.config(name="valence", classifier={"type": "valence"}, storage=place)
    made.arrive(*(post(number, number) for number in range(3)))
    run, _ = made.submit()
    assert run
    made.finish(run)
    for words in (words for block in read(PAGE).blocks for words in block.commands):
        assert made.bench.hpc(*words[1:]).returncode == 0
    return made.bench


def run_python(code: str, folder: Path, python: str = sys.executable) -> str:
    env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [python, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_for_polars_and_arrow_find_the_labels(project: Bench) -> None:
    examples = [
        block.text for block in read(PAGE).blocks if block.language == "python" and not block.title
    ]
    polars, arrow = (run_python(code, project.folder) for code in examples)
    assert "positive" in polars
    assert "3" in polars
    assert arrow == "3\n"


@pytest.mark.engines
def test_the_example_for_ray_finds_the_labels(project: Bench) -> None:
    engines = os.environ.get("HPC_TEST_OTHER_ENGINES")
    if not engines:
        pytest.skip("needs other engines: bash .ci/test-other-engines")
    (code,) = (block.text for block in read(PAGE).blocks if block.title == "count_labels.py")
    printed = run_python(code, project.folder, f"{engines}/bin/python")
    assert printed.splitlines()[-1] == "[{'valence_label': 'positive', 'count()': 3}]"
