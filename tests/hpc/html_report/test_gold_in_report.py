"""Agreement with human labels in the page, and what happens where it cannot be measured."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.hpc.cli_bench import Bench, outcome
from tests.pipeline.analysis.gold.coded_posts import create, stratified

POSTS = 600


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores of a model, and gold for a stratified sample of the posts."""
    path = tmp_path_factory.mktemp("gold") / "labels.duckdb"
    generator = np.random.default_rng(3)
    truth = generator.random(POSTS) < 0.3
    score = np.clip(0.35 + 0.3 * truth + generator.normal(0, 0.15, POSTS), 0, 1)
    strata = ["high" if value > 0.5 else "low" for value in score]
    drawn = stratified(generator, strata, {"low": 40, "high": 40})
    with duckdb.connect(str(path)) as connection:
        gold = {post: bool(truth[post]) for post in drawn.posts}
        create(connection, score.tolist(), gold, drawn)
        for column in (
            "reason VARCHAR",
            "label_timestamp TIMESTAMP DEFAULT TIMESTAMP '2026-01-01'",
        ):
            connection.execute(f"ALTER TABLE labels_model ADD COLUMN IF NOT EXISTS {column}")
    return path


def test_the_measures_of_compare_are_in_the_page(bench: Bench, database: Path) -> None:
    where = ("--database", database, "--gold", "gold", "--map", "score=code")
    (subject,) = bench.document("report", "model", *where)["subjects"]
    assert subject["gold"] == ["gold"]
    content = (bench.folder / "report-model.html").read_text(encoding="utf-8")
    compared = bench.document("compare", "model", *where)
    (one,) = compared["models"][0]["comparisons"]
    for name in ("accuracy", "recall", "f1"):
        assert f"<bdi>{one['measures'][name]['value']:.4g}</bdi>" in content
    (prevalence,) = one["prevalence"]
    assert f"<bdi>{prevalence['corrected']['value']:.4g}</bdi>" in content
    assert "calibration</title>" in content


def test_columns_that_do_not_pair_are_an_error_if_a_person_named_the_gold(
    bench: Bench, database: Path
) -> None:
    code, said = outcome(bench.hpc("report", "model", "--database", database, "--gold", "gold"))
    assert (code, "--map" in said) == (2, True)


def test_without_matplotlib_nothing_is_written_and_the_message_says_what_to_install(
    bench: Bench, database: Path
) -> None:
    (bench.site / "matplotlib.py").write_text("raise ModuleNotFoundError(name='matplotlib')")
    code, said = outcome(bench.hpc_process("report", "model", "--database", database))
    assert (code, said.startswith("error: report needs"), "matplotlib" in said) == (1, True, True)
    assert list(bench.folder.glob("*.html")) == []
