"""Two columns of labels beside each other, in a database of their own."""

from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.analysis import measures
from pipeline.analysis.agreement import Array
from pipeline.analysis.options import BootstrapDraws, CompareOptions
from pipeline.analysis.overlap import Overlap, Pair, label_columns
from pipeline.analysis.results import Comparison, Estimate, NotCompared

SMALL = BootstrapDraws(200, 0)


def compared(a: Sequence[Any], b: Sequence[Any], **options: Any) -> Comparison | NotCompared:
    """Column `a` of one name and `b` of another, post by post."""
    with duckdb.connect() as connection:
        for name, values in (("a", a), ("b", b)):
            uris = [f"at://{number}" for number in range(len(values))]
            given = pa.table({"uri": uris, name: pa.array(values)})
            connection.register("given", given)
            connection.execute(
                f"CREATE TABLE labels_{name} AS "
                "SELECT *, true AS was_successfully_labeled, 'one' AS model, 'h' AS config_hash, "
                "TIMESTAMP '2024-05-01' AS preprocessing_timestamp FROM given"
            )
        pair = Pair(
            label_columns(connection, "a", "memory")["a"],
            label_columns(connection, "b", "memory")["b"],
        )
        overlap = Overlap(connection, ("a", "b"), "memory", [pair])
        return measures.compare_labels(overlap, 0, CompareOptions(**{"draws": SMALL, **options}))


def comparison(a: Sequence[Any], b: Sequence[Any], **options: Any) -> Comparison:
    found = compared(a, b, **options)
    assert isinstance(found, Comparison)
    return found


def values(one: Comparison) -> dict[str, float | None]:
    return {name: estimate.value for name, estimate in one.measures.items()}


def undefined(reason: str) -> Estimate:
    return Estimate(value=None, reason=reason)


def correlated(posts: int, seed: int = 3) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    shared = generator.normal(size=posts)
    a, b = (1 / (1 + np.exp(-shared - generator.normal(size=posts))) for _ in "ab")
    return a, b
