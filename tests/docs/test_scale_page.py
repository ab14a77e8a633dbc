"""The page on scale: other engines read the files of the labels as its examples do."""

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


def run_python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
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
