"""Answers are read from wherever they lie, into labels of any name that a column can have."""

from pathlib import Path

import pytest

from pipeline.model import RESERVED
from tests.hpc.adoption.engine import (
    EXTERNAL,
    Row,
    answer,
    hand_over,
    label,
    write_lines,
    write_parquet,
)
from tests.hpc.cli_bench import Bench

NAMES = (
    *("file", "row", "problem", "shard", "why", "first_file", "first_row", "filename", "place"),
    *("file_row_number", "name", "number", "kind", "value", "origin", "json", "attempts", "posts"),
    *("answers", "usable", "firsts", "missing", "a", "o", "u", "k", "f", "m", "index", "select"),
)
"""The names that adoption has, or had, for columns and tables of its own, and a few others."""


@pytest.mark.parametrize("layout", ["parquet", "duckdb"])
def test_a_label_may_have_any_name_that_adoption_uses_itself(
    bench: Bench, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.folder)  # for the view of Parquet files
    labels = [{"name": name, "type": "text"} for name in NAMES]
    external = {"type": "external", "model": "m", "labels": labels}
    bench.config(6, classifier=external, storage={"layout": layout})
    run = hand_over(bench)
    rows = label(run, lambda uri, _: {"uri": uri, **{name: f"{name} {uri}" for name in NAMES}})
    write_parquet(run / "answers" / "a.parquet", rows[:4])
    missing = ("--missing", "late")
    assert bench.document("adopt", run / "answers", *missing)["posts_given_up"] == 2
    write_lines(run / "answers" / "b.jsonl", rows[3:])
    assert bench.document("adopt", run / "answers", *missing)["reasons_replaced"] == 2
    write_lines(run / "answers" / "c.jsonl", [{**rows[0], "file": "another"}])
    assert bench.hpc("adopt", run / "answers").returncode == 2
    columns = ", ".join(f'"{name}"' for name in NAMES)
    found = bench.query(f"SELECT uri, {columns} FROM labels_test ORDER BY uri")
    assert found == sorted(tuple(row.values()) for row in rows)
    assert bench.hpc("audit", "--config", bench.path).returncode == 0


@pytest.mark.parametrize("name", sorted(RESERVED | {"rowid"}))
def test_a_name_that_no_column_can_have_is_rejected_before_a_run_is_made(
    bench: Bench, name: str
) -> None:
    labels = [{"name": name, "type": "text"}]
    bench.config(2, classifier={"type": "external", "model": "m", "labels": labels})
    assert bench.hpc("submit", "--config", bench.path, "--plan-only").returncode == 2
    assert not (bench.folder / "runs").exists()


@pytest.mark.parametrize("folder", ["uri=u", "reason=r", "text=t", "toxic=false"])
def test_the_paths_of_a_run_and_of_answers_are_no_values(bench: Bench, folder: str) -> None:
    root = Path("runs") / folder
    bench.config(9, classifier=EXTERNAL, storage={"run_root": str(root)})
    run = hand_over(bench)

    def give(uri: str, text: str) -> Row:
        return {**answer(uri, text), "toxic": True}

    rows = label(run, give)
    answers = run / "answers" / folder
    write_parquet(answers / "a.parquet", rows[:7])
    adopt = ("adopt", run / "answers", "--missing", "late")
    assert bench.document(*adopt)["posts_given_up"] == 2
    write_lines(answers / "b.jsonl", rows[6:])
    assert bench.document(*adopt)["reasons_replaced"] == 2
    write_lines(answers / "c.jsonl", rows[:1])
    assert bench.document(*adopt)["new_answers"] == 0
    found = bench.query("SELECT uri, toxic, note, reason FROM labels_test ORDER BY uri")
    assert found == sorted((row["uri"], True, row["note"], None) for row in rows)
