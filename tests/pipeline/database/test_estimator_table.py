"""The table for estimators: every post that could be drawn, and with which probability it was."""

import random
import statistics
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from pipeline.database import coding_frame
from pipeline.database.coding_frame import RuleKind, ShardRange, StratumRule
from pipeline.database.estimator_table import (
    EstimatorRequest,
    Frame,
    LabelTable,
    find_pairs,
    stage_population,
    write_table,
)
from pipeline.errors import InputError

SHARDS = (ShardRange(run_id="run", first=0, last=0),)
MODEL, GOLD = LabelTable(name="llm", catalog="db"), LabelTable(name="gold", catalog="db")
BINS = StratumRule(kind=RuleKind.BINS, column="score", edges=(0.0, 0.3, 0.7, 1.0))
Post = tuple[str, str, float, bool, bool]
"""uri, text, score, the model's flag, the truth."""


def population() -> list[Post]:
    """Three hundred posts: every third text has two or three of them, and the model is biased."""
    numbers = random.Random(1)
    posts: list[Post] = []
    for number in range(180):
        score = numbers.random() ** 2
        truth = numbers.random() < 0.7 * score
        flag = score > 0.2
        copies = 1 if number % 3 else 2 + number % 2
        posts += [(f"{number}-{copy}", f"text {number}", score, flag, truth)
                  for copy in range(copies)]  # fmt: skip
    return posts


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("ATTACH ':memory:' AS db")
        for table, column in (("llm", "score DOUBLE, toxic BOOLEAN"), ("gold", "toxic BOOLEAN")):
            made.execute(
                f"CREATE TABLE db.labels_{table} (uri VARCHAR, text VARCHAR, "
                "preprocessing_timestamp TIMESTAMP, was_successfully_labeled BOOLEAN, "
                f"run_id VARCHAR, shard_index INTEGER, {column})"
            )
        made.executemany(
            "INSERT INTO db.labels_llm VALUES (?, ?, '2024-01-01', true, 'run', 0, ?, ?)",
            [list(post[:4]) for post in population()],
        )
        yield made


def code(connection: duckdb.DuckDBPyConnection, size: int, seed: int, *, uncoded: int = 0) -> Frame:
    """Draw texts from each stratum, and code them by the truth."""
    coding_frame.stage_frame(connection, "llm", "db", BINS, SHARDS)
    texts = {name: count for name, (count, _) in coding_frame.count_strata(connection).items()}
    drawn = coding_frame.draw(connection, dict.fromkeys(texts, size), seed)
    truth = {uri: (text, real) for uri, text, _, _, real in population()}
    connection.execute("DELETE FROM db.labels_gold")
    connection.executemany(
        "INSERT INTO db.labels_gold VALUES (?, ?, '2024-01-01', ?, 'gold', 0, ?)",
        [
            [uri, truth[uri][0], number >= uncoded, truth[uri][1] if number >= uncoded else None]
            for number, (uri, _, _) in enumerate(drawn)
        ],
    )
    return Frame(labels=MODEL, rule=BINS, shards=SHARDS, population=texts, sample="s")


def request(frame: Frame) -> EstimatorRequest:
    return EstimatorRequest(
        predictions=MODEL,
        gold=GOLD,
        frame=frame,
        pairs=(("toxic", "toxic"),),
        covariates=("score",),
        with_weights=True,
    )


def test_the_corrected_share_is_right_on_average_where_the_naive_one_is_not(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """Over 40 samples, within 4 standard errors of the truth."""
    posts = population()
    truth = statistics.mean(post[4] for post in posts)
    assert abs(statistics.mean(post[3] for post in posts) - truth) > 0.2
    estimates = []
    for seed in range(40):
        frame = code(connection, 12, seed)
        stage_population(connection, frame)
        write_table(connection, request(frame), tmp_path / "t.parquet")
        rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
        assert len(rows) == len(posts)
        predicted = statistics.mean(row["toxic_predicted"] for row in rows)
        errors = [
            (row["toxic"] - row["toxic_predicted"]) * row["weight"]
            for row in rows
            if row["labeled"]
        ]
        estimates.append(predicted + sum(errors) / len(rows))
    spread = statistics.stdev(estimates) / len(estimates) ** 0.5
    assert abs(statistics.mean(estimates) - truth) < 4 * spread < 0.08


def test_every_post_of_a_coded_text_has_its_label_and_the_chance_of_its_stratum(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    frame = code(connection, 12, 3, uncoded=2)
    stage_population(connection, frame)
    written = write_table(connection, request(frame), tmp_path / "t.parquet")
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    by_text = {uri: text for uri, text, *_ in population()}
    coded = dict(
        connection.execute(
            "SELECT text, toxic FROM db.labels_gold WHERE was_successfully_labeled"
        ).fetchall()
    )
    assert (written.coded_texts, written.not_coded) == (len(coded), 2) == (34, 2)
    assert written.coded_posts == sum(row["labeled"] for row in rows) > written.coded_texts
    for row in rows:
        text = by_text[row["uri"]]
        assert (row["labeled"] == 1) == (text in coded)
        assert row["toxic"] == (int(coded[text]) if text in coded else None)
        assert row["weight"] == 1 / row["sample_prob"]
    assert len({row["text_id"] for row in rows}) == 180
    assert {row["text_id"] for row in rows} <= {row["uri"] for row in rows}
    strata = {(row["stratum"], row["sample_prob"]) for row in rows}
    assert len(strata) == 3
    for stratum, chance in strata:
        texts = {row["text_id"]: row["labeled"] for row in rows if row["stratum"] == stratum}
        assert chance == sum(texts.values()) / len(texts)


def test_posts_without_a_prediction_are_left_out_and_counted(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    frame = code(connection, 12, 3)
    stage_population(connection, frame)
    connection.execute("CREATE TABLE db.labels_other AS FROM db.labels_llm")
    connection.execute("UPDATE db.labels_other SET score = 'nan' WHERE uri IN ('1-0', '2-0')")
    connection.execute("UPDATE db.labels_other SET score = NULL WHERE uri = '4-0'")
    connection.execute("DELETE FROM db.labels_other WHERE uri = '5-0'")
    wanted = EstimatorRequest(
        predictions=LabelTable(name="other", catalog="db"),
        gold=GOLD,
        frame=frame,
        pairs=(("score", "toxic"),),
        covariates=(),
    )
    written = write_table(connection, wanted, tmp_path / "t.csv")
    assert (written.rows, written.without_prediction) == (len(population()) - 4, 4)


def test_labels_that_are_not_those_that_were_drawn_from_are_rejected(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    frame = code(connection, 12, 3)
    connection.execute("UPDATE db.labels_llm SET score = 1 - score")
    with pytest.raises(InputError):
        stage_population(connection, frame)


def test_a_stratum_in_which_nothing_is_coded_is_an_error(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    frame = code(connection, 12, 3)
    stage_population(connection, frame)
    stratum = next(iter(frame.population))
    connection.execute(
        "UPDATE db.labels_gold SET toxic = NULL WHERE uri IN "
        f"(SELECT uri FROM frame WHERE stratum = '{stratum}')"
    )
    with pytest.raises(InputError, match=stratum):
        write_table(connection, request(frame), tmp_path / "t.csv")
    connection.execute("UPDATE db.labels_gold SET toxic = NULL")
    with pytest.raises(InputError):
        write_table(connection, request(frame), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_columns_are_paired_by_name_or_as_somebody_says() -> None:
    predictions, gold = {"toxic": "BOOLEAN", "prob": "DOUBLE"}, {"toxic": "BOOLEAN"}
    assert find_pairs(predictions, gold, ()) == (("toxic", "toxic"),)
    assert find_pairs(predictions, gold, ("prob = toxic",)) == (("prob", "toxic"),)
    for wrong in ("prob", "toxic=prob", "=", "x=toxic"):
        with pytest.raises(InputError):
            find_pairs(predictions, gold, (wrong,))
    with pytest.raises(InputError):
        find_pairs({"prob": "DOUBLE"}, gold, ())
