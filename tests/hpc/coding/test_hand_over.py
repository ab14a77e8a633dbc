"""Predictions and human labels go to estimators in one table, and never a wrong one."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hpc.cli_bench import Bench
from tests.pipeline import run_builders
from tests.pipeline.run_builders import SourcePost


def backlog(count: int) -> list[SourcePost]:
    """Posts of which every fifth has the same text."""
    return [
        post if number % 5 else post._replace(text="good morning, all")
        for number, post in enumerate(run_builders.posts(count))
    ]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A folder with the labels of 40 posts, the codings of 10 texts of them, and 10 later posts."""
    made = Bench(tmp_path_factory.mktemp("hand_over"))
    made.backlog(backlog(40))
    made.config(name="valence", classifier={"type": "valence"})
    assert made.submit().returncode == 0
    words = ["--n", 10, "--out", "coding.csv", "--labels", "happy:bool,compound:number:-1:1"]
    assert made.hpc("sample", "valence", *words).returncode == 0
    path = made.folder / "coding.csv"
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    coded = made.folder / "coded.csv"
    with coded.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows({**row, "happy": "yes", "compound": "0,5"} for row in rows)
    assert made.hpc("gold", coded, "--as", "gold_anna").returncode == 0
    made.backlog(backlog(50))
    assert made.submit("--backfill").returncode == 0
    yield made


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def export(bench: Bench, *arguments: object, name: str = "valence") -> dict[str, Any]:
    words = ["--for", "dsl", "--gold", "gold_anna", "--to", "t.csv", "--force", *arguments]
    return bench.document("export", name, *words)


def test_the_table_has_the_posts_that_could_be_drawn_and_no_later_ones(bench: Bench) -> None:
    document = export(bench, "--map", "compound=happy", "--map", "compound=compound")
    assert (document["rows"], document["labeled_later"]) == (40, 10)
    assert (document["coded_texts"], document["not_coded"]) == (10, 0)
    assert document["labels"] == ["happy", "compound"]
    rows = table(bench.folder / "t.csv")
    assert len(rows) == 40
    assert {row["sample_prob"] for row in rows} == {str(10 / 33)}
    shared = {row["labeled"] for row in rows if rows[0]["text_id"] == row["text_id"]}
    assert len(shared) == 1
    labeled = [row for row in rows if row["labeled"] == "1"]
    assert {(row["happy"], row["compound"]) for row in labeled} == {("1", "0.5")}
    rest = [row for row in rows if row["labeled"] == "0"]
    assert {(row["happy"], row["compound"]) for row in rest} == {("", "")}


def test_covariates_come_from_the_labels_and_from_the_source(bench: Bench) -> None:
    words = ["--columns", "valence_label,run_id", "--join", "text", "--config", bench.path]
    document = export(bench, *words)
    assert document["columns"][-3:] == ["valence_label", "run_id", "source_text"]
    assert {row["source_text"] for row in table(bench.folder / "t.csv")} >= {"good morning, all"}


def test_another_classifier_is_corrected_by_the_same_sample(bench: Bench) -> None:
    """It labeled the whole backlog, and the sample was drawn from the labels of the first."""
    assert bench.submit("--set", "name=other", "--limit", 30).returncode == 0
    document = export(bench, name="other")
    assert (document["rows"], document["without_prediction"]) == (30, 10)


def test_human_labels_do_not_correct_themselves(bench: Bench) -> None:
    words = ["--for", "dsl", "--gold", "gold_anna", "--to", "no.csv"]
    assert bench.hpc("export", "gold_anna", *words).returncode == 2
    assert not (bench.folder / "no.csv").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--for", "dsl"],
        ["--gold", "gold_anna"],
        ["--map", "a=b"],
        ["--for", "dsl", "--gold", "gold_ana"],
        ["--for", "dsl", "--gold", "valence"],
        ["--for", "dsl", "--gold", "gold_anna", "--where", "compound > 0"],
        ["--for", "dsl", "--gold", "gold_anna", "--labeled-only"],
        ["--for", "ppi", "--gold", "gold_anna", "--columns", "compund"],
        ["--for", "ppi", "--gold", "gold_anna", "--columns", "stratum"],
        ["--for", "ppi", "--gold", "gold_anna", "--columns", "compound"],
        ["--for", "ppi", "--gold", "gold_anna", "--map", "valence_label=happy"],
    ],
)
def test_an_impossible_table_is_rejected_and_nothing_is_written(
    bench: Bench, words: list[str]
) -> None:
    before = bench.listing()
    done = bench.hpc("export", "valence", "--to", "no.csv", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert bench.listing() == before
