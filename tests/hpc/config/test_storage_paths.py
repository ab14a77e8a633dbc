"""Folders whose names mean something else to Slurm or to DuckDB."""

from pathlib import Path

import pytest

from hpc.config.storage_paths import check_storage
from hpc.run.cluster.resources import ExecutorName
from pipeline.config.check import Problems
from pipeline.config.sections import DUCKDB, PARQUET, Storage


def rejected(folder: str, executor: ExecutorName = ExecutorName.SLURM) -> list[str]:
    """The keys that are rejected where runs and labels are in this folder."""
    problems = Problems()
    root = Path("/home/ana") / folder
    storage = Storage(run_root=root / "runs", database=root / "labels.duckdb")
    check_storage(storage, executor, source="mine.yaml", problems=problems)
    return [problem.path for problem in problems.found]


@pytest.mark.parametrize(
    "folder", ["a b", "it's", '"x"', "$HOME", ";x", "#1", "*", "é", "50%", "%"]
)
def test_odd_names_are_allowed(folder: str) -> None:
    assert rejected(folder) == []


@pytest.mark.parametrize("folder", ["%u", "x%jy", "%4a", "%%", "%A/b", "run-%x", "%t", "%N"])
def test_names_that_slurm_replaces_are_rejected_where_slurm_runs_the_tasks(folder: str) -> None:
    assert rejected(folder) == ["storage.run_root"]
    assert rejected(folder, ExecutorName.LOCAL) == []


def test_a_backslash_is_rejected_everywhere() -> None:
    both = ["storage.run_root", "storage.database"]
    assert rejected("a\\b") == rejected("a\\b", ExecutorName.LOCAL) == both


@pytest.mark.parametrize(
    ("database", "is_allowed"),
    [("a,b.duckdb", True), ("[x]/a.duckdb", True), ("a,b/c.duckdb", False), ("[x].duckdb", False)],
)
def test_names_that_views_of_files_cannot_hold_are_rejected(
    database: str, is_allowed: bool
) -> None:
    for layout, allowed in ((DUCKDB, True), (PARQUET, is_allowed)):
        problems = Problems()
        storage = Storage(
            run_root=Path("/home/ana/runs"), database=Path("/home/ana", database), layout=layout
        )
        check_storage(storage, ExecutorName.LOCAL, source="mine.yaml", problems=problems)
        assert [problem.path for problem in problems.found] == ["storage.database"] * (not allowed)
