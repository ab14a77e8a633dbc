"""What coders can be given: each text once, in its stratum, drawn with the probability it says."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import duckdb
import pytest

from pipeline.database import coding_frame
from pipeline.database.coding_frame import MISSING, RuleKind, ShardRange, StratumRule

NAME = "llm"
ALL_SHARDS = (ShardRange(run_id="run", first=0, last=9),)
SCORES = [0.0, 0.1, 0.2, 0.39, 0.4, 1.0, None, float("nan")]
BINS = StratumRule(kind=RuleKind.BINS, column="score", edges=(0.0, 0.2, 0.4, 1.0))


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("ATTACH ':memory:' AS db")
        made.execute(
            "CREATE TABLE db.labels_llm (uri VARCHAR, text VARCHAR, "
            "preprocessing_timestamp TIMESTAMP, was_successfully_labeled BOOLEAN, score DOUBLE, "
            "word VARCHAR, run_id VARCHAR, shard_index INTEGER, copied_from VARCHAR)"
        )
        yield made


def add(
    connection: duckdb.DuckDBPyConnection,
    uri: str,
    text: str,
    *,
    day: int = 0,
    score: float | None = 0.5,
    word: str | None = "a",
    labeled: bool = True,
    shard: int = 0,
    copied_from: str | None = None,
) -> None:
    moment = datetime(2024, 1, 25) + timedelta(days=day)
    row = [uri, text, moment, labeled, score, word, "run", shard, copied_from]
    connection.execute(f"INSERT INTO db.labels_llm VALUES ({', '.join('?' * 9)})", row)


def staged(
    connection: duckdb.DuckDBPyConnection,
    rule: StratumRule,
    shards: tuple[ShardRange, ...] = ALL_SHARDS,
) -> set[tuple[str, int, str]]:
    coding_frame.stage_frame(connection, NAME, "db", rule, shards)
    return set(connection.execute("SELECT uri, posts, stratum FROM frame").fetchall())


def test_each_text_is_there_once_and_counts_its_posts(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    add(connection, "b", "same")
    add(connection, "a", "same", copied_from="b")
    add(connection, "c", "Same")
    add(connection, "d", "same ", labeled=False)
    add(connection, "e", " ")
    add(connection, "f", "later", shard=8)
    everything = {("b", 2, "all"), ("c", 1, "all"), ("f", 1, "all")}
    assert staged(connection, StratumRule()) == everything
    shards = coding_frame.find_shards(connection, NAME, "db")
    assert [(each.first, each.last) for each in shards] == [(0, 0), (8, 8)]
    assert staged(connection, StratumRule(), shards) == everything
    assert staged(connection, StratumRule(), shards[:1]) == everything - {("f", 1, "all")}
    assert staged(connection, StratumRule(), ()) == set()


def test_the_post_that_stands_for_a_text_decides_its_stratum(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    add(connection, "a", "same", day=30, word="x", score=None)
    add(connection, "b", "same", day=0, word="y", score=0.3)
    assert staged(connection, StratumRule(kind=RuleKind.MONTH)) == {("a", 2, "2024-02")}
    word = StratumRule(kind=RuleKind.VALUES, column="word")
    assert staged(connection, word) == {("a", 2, "x")}
    assert staged(connection, BINS) == {("a", 2, MISSING)}


def test_a_value_on_an_edge_is_in_the_bin_above_it_and_the_largest_in_the_last(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for number, score in enumerate(SCORES):
        add(connection, str(number), f"text {number}", score=score)
    names = {uri: stratum for uri, _, stratum in staged(connection, BINS)}
    low, middle, high = BINS.bins
    expected = [low, low, middle, middle, high, high, MISSING, MISSING]
    assert [names[str(number)] for number in range(len(SCORES))] == expected


def test_texts_are_drawn_as_often_as_their_probability_says(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Over 400 seeds, each of 40 texts within 4.5 standard errors; no order of rows matters."""
    for number in range(40):
        add(connection, f"uri-{number}", f"text {number}", word="a" if number < 10 else "b")
    staged(connection, StratumRule(kind=RuleKind.VALUES, column="word"))
    sizes = {"a": 5, "b": 6}
    drawn: Counter[str] = Counter()
    seeds = 400
    for seed in range(seeds):
        rows = coding_frame.draw(connection, sizes, seed)
        assert Counter(stratum for _, stratum, _ in rows) == sizes
        drawn.update(uri for uri, _, _ in rows)
    for number in range(40):
        probability = 5 / 10 if number < 10 else 6 / 30
        error = (probability * (1 - probability) / seeds) ** 0.5
        assert abs(drawn[f"uri-{number}"] / seeds - probability) < 4.5 * error
    connection.execute("CREATE OR REPLACE TABLE frame AS FROM frame ORDER BY hash(uri)")
    larger = coding_frame.draw(connection, {"a": 6, "b": 9}, 7)
    assert set(coding_frame.draw(connection, sizes, 7)) < set(larger)
