"""A condition chooses posts by their labels, and can do nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.database import choose_posts, duckdb_file
from pipeline.errors import InputError


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Labels of four posts under two names; one of them could not be labeled."""
    path = tmp_path_factory.mktemp("labels") / "labels.duckdb"
    with duckdb_file.open_database(path) as connection:
        connection.execute(
            "CREATE TABLE labels_llm (uri VARCHAR, was_successfully_labeled BOOLEAN, "
            "prob_toxic DOUBLE, label VARCHAR); INSERT INTO labels_llm VALUES "
            "('a', true, 0.5, 'yes'), ('b', true, 0.9, 'no'), ('c', false, NULL, NULL), "
            "('d', true, NULL, 'it''s (;) --'); CREATE TABLE labels_other AS FROM labels_llm"
        )
    return path


def chosen(database: Path, condition: str, folder: Path) -> set[str]:
    file = folder / "chosen.parquet"
    choose_posts.write_chosen_uris(database, "llm", condition, file)
    return set(pq.read_table(file)["uri"].to_pylist())


@pytest.mark.parametrize(
    ("condition", "uris"),
    [
        ("prob_toxic BETWEEN 0.4 AND 0.6", {"a"}),
        ("PROB_TOXIC > 0.6 OR label = 'yes' -- or so", {"a", "b"}),
        ("prob_toxic IS NULL", {"d"}),
        ("label = 'it''s (;) --'", {"d"}),
        ("false", set()),
    ],
)
def test_labeled_posts_that_fulfill_the_condition_are_chosen(
    database: Path, tmp_path: Path, condition: str, uris: set[str]
) -> None:
    assert chosen(database, condition, tmp_path) == uris


@pytest.mark.parametrize(
    "condition",
    [
        "prob_toxc > 0.5",
        "label = yes",
        "prob_toxic",
        "NULL",
        "prob_toxic >",
        "true; DROP TABLE labels_llm",
        "true); DROP TABLE labels_llm; --",
        "false) OR (true",
        "true LIMIT 1",
        "true UNION SELECT 'x'",
        "max(prob_toxic) > 0.5",
        "row_number() OVER () = 1",
        "CAST(label AS INTEGER) > 1",
        "random() < 0.5",
        "uri IN (SELECT uri FROM labels_other)",
        "uri IN (FROM read_csv('/etc/passwd'))",
        "EXISTS (FROM read_text('/etc/passwd'))",
        "uri = ANY (SELECT content FROM read_text('/etc/passwd'))",
        "read_text('/etc/passwd') IS NULL",
        "$1",
    ],
)
def test_what_is_no_expression_over_the_labels_is_rejected(
    database: Path, tmp_path: Path, condition: str
) -> None:
    before = database.read_bytes()
    with pytest.raises(InputError):
        chosen(database, condition, tmp_path)
    assert not (tmp_path / "chosen.parquet").exists()
    assert database.read_bytes() == before


def test_the_nearest_column_is_named(database: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'prob_toxic'"):
        chosen(database, "prob_toxc > 0.5", tmp_path)
