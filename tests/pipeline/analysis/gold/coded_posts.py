"""A classifier's labels, gold for a sample of them, and the sample, in a database of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.analysis.gold import evaluate, read, sample_design
from pipeline.analysis.gold.judgement import Judgement
from pipeline.analysis.gold.results import GoldComparison, NotJudged
from pipeline.analysis.options import BootstrapDraws, CompareOptions
from pipeline.analysis.overlap import Pair, label_columns
from pipeline.database.tables import CREATE_TABLES

SMALL = BootstrapDraws(200, 0)
START = datetime(2024, 5, 1)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The rows of a sample, by the number of their post."""

    posts: Sequence[int]
    strata: Sequence[str]
    probabilities: Sequence[float]
    copies: Sequence[int] | None = None


def create(
    connection: duckdb.DuckDBPyConnection,
    model: Sequence[Any],
    gold: dict[int, Any],
    drawn: Drawn | None = None,
    **extra: Sequence[Any],
) -> None:
    """Create labels of all posts, gold for those by number, and the sample.

    Args:
        connection: an empty database.
        model: the column `score` of every post; None is a post that could not be labeled.
        gold: the column `code` by the number of the post; None is a post without a code.
        drawn: the sample.
        extra: further columns of the model.
    """
    connection.execute(CREATE_TABLES)
    connection.execute("CREATE TABLE IF NOT EXISTS samples (sample VARCHAR, uri VARCHAR, "
                       "stratum VARCHAR, inclusion_probability DOUBLE, posts BIGINT)")  # fmt: skip
    connection.execute("ALTER TABLE runs ADD COLUMN IF NOT EXISTS sample VARCHAR")
    numbers = list(range(len(model)))
    label(connection, "model", numbers, {"score": model, **extra})
    label(connection, "gold", list(gold), {"code": list(gold.values())})
    connection.execute(
        "INSERT INTO runs BY NAME SELECT 'run-gold' AS run_id, 'gold' AS name, now()::TIMESTAMP AS "
        "created_at, 'runs/run-gold' AS run_dir, 1 AS posts, 1 AS shards, 'complete' AS state, "
        "'h' AS config_hash, '1' AS version, ? AS sample",
        ["s1" if drawn else None],
    )
    if drawn:
        rows = pa.table(
            {
                "sample": ["s1"] * len(drawn.posts),
                "uri": [uri(number) for number in drawn.posts],
                "stratum": list(drawn.strata),
                "inclusion_probability": pa.array(drawn.probabilities, pa.float64()),
                "posts": pa.array(drawn.copies or [1] * len(drawn.posts), pa.int64()),
            }
        )
        connection.register("rows", rows)
        connection.execute("INSERT INTO samples SELECT * FROM rows")


def uri(number: int) -> str:
    return f"at://{number}"


def label(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    numbers: Sequence[int],
    columns: dict[str, Sequence[Any]],
) -> None:
    """Create the table of a name; a post whose first value is None could not be labeled."""
    first = next(iter(columns.values()))
    given = pa.table(
        {
            "uri": [uri(number) for number in numbers],
            "preprocessing_timestamp": pa.array(
                [START + timedelta(days=number % 90) for number in numbers], pa.timestamp("us")
            ),
            "was_successfully_labeled": [value is not None for value in first],
            **{column: pa.array(values) for column, values in columns.items()},
            "run_id": [f"run-{name}"] * len(numbers),
            "model": ["one"] * len(numbers),
        }
    )
    connection.register("given", given)
    connection.execute(f"CREATE TABLE labels_{name} AS FROM given")


def judged(connection: duckdb.DuckDBPyConnection, **options: Any) -> Judgement | NotJudged:
    """What is read of the columns `score` and `code`."""
    sample = sample_design.find_sample(connection, "gold", "memory", None)
    pair = Pair(
        label_columns(connection, "model", "memory")["score"],
        label_columns(connection, "gold", "memory")["code"],
    )
    posts = read.JudgedPosts(connection, ("model", "gold"), "memory", [pair], sample)
    return posts.read(0, CompareOptions(**{"draws": SMALL, **options}))


def compared(
    model: Sequence[Any], gold: dict[int, Any], drawn: Drawn | None = None, **options: Any
) -> GoldComparison:
    with duckdb.connect() as connection:
        create(connection, model, gold, drawn)
        found = judged(connection, **options)
    assert isinstance(found, Judgement), found
    return evaluate.evaluate(found, options.get("draws", SMALL))


def not_judged(model: Sequence[Any], gold: dict[int, Any], **options: Any) -> str:
    """Why the columns cannot be compared."""
    with duckdb.connect() as connection:
        create(connection, model, gold)
        found = judged(connection, **options)
    assert isinstance(found, NotJudged)
    return found.reason


def values(found: GoldComparison) -> dict[str, float | None]:
    return {name: estimate.value for name, estimate in found.measures.items()}


def stratified(
    generator: np.random.Generator, strata: Sequence[str], sizes: dict[str, int]
) -> Drawn:
    """A random sample with a fixed size in each stratum."""
    of = np.array(strata)
    posts: list[int] = []
    probabilities: list[float] = []
    for name, size in sizes.items():
        inside = np.flatnonzero(of == name)
        posts += generator.choice(inside, size, replace=False).tolist()
        probabilities += [size / inside.size] * size
    return Drawn(posts=posts, strata=of[posts].tolist(), probabilities=probabilities)
