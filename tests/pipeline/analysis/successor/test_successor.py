"""A successor's threshold and map: the prevalence and the scale of what it replaces."""

import math
from collections.abc import Sequence
from itertools import pairwise

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from pipeline.analysis.overlap import Overlap, Pair, label_columns
from pipeline.analysis.results import NotCompared
from pipeline.analysis.successor import fit_map as fitting
from pipeline.analysis.successor import read_scores
from pipeline.analysis.successor.fit_map import fit_map
from pipeline.analysis.successor.score_groups import ScoreGroups, match_threshold, thin_knots
from pipeline.database.mapped_labels import mapped_value
from pipeline.run_files.score_map import ColumnMap
from tests.pipeline.analysis.compared_columns import comparison, correlated

shares = st.floats(0, 1, width=32)


def groups(scores: list[float], weights: list[float], positive: list[float]) -> ScoreGroups:
    return ScoreGroups(
        scores=np.array(scores), weights=np.array(weights), means=np.array(positive),
        positive=np.array(positive), posts=len(scores),
    )  # fmt: skip


@given(st.lists(st.tuples(shares, st.floats(0.1, 9), shares), min_size=1, max_size=30,
                unique_by=lambda one: one[0]))  # fmt: skip
def test_no_threshold_comes_closer_to_the_prevalence(
    rows: list[tuple[float, float, float]],
) -> None:
    scores, weights, positive = map(list, zip(*sorted(rows), strict=True))
    found = match_threshold(groups(scores, weights, positive))
    total = sum(weights)
    assert found.wanted == pytest.approx(np.dot(weights, positive) / total)
    reached = {
        threshold: sum(w for s, w in zip(scores, weights, strict=True) if s >= threshold) / total
        for threshold in (*scores, math.inf)
    }
    chosen = math.inf if found.threshold is None else found.threshold
    assert found.reached == pytest.approx(reached[chosen])
    assert abs(found.reached - found.wanted) <= min(
        abs(share - found.wanted) for share in reached.values()
    ) + 1e-9  # fmt: skip


def test_the_threshold_that_matches_is_a_score_and_equal_scores_stay_together() -> None:
    a = [0.9, 0.8, 0.2, 0.1, 0.3, 0.4]
    tied = comparison(a, [0.3, 0.3, 0.3, 0.1, 0.1, 0.1]).matching
    assert tied and (tied.threshold, tied.wanted, tied.reached) == (0.3, pytest.approx(1 / 3), 0.5)
    equal = comparison(a, [0.3] * 6).matching
    assert equal and (equal.threshold, equal.reached) == (None, 0)
    flags = comparison([True, False, False], [0.1, 0.9, 0.4]).matching
    assert flags and (flags.threshold, flags.wanted) == (0.9, pytest.approx(1 / 3))
    assert comparison([0.5, 7.0], [0.1, 0.9]).matching is None
    assert comparison([0.1, 0.9], [True, False]).matching is None


def overlap_of(connection: duckdb.DuckDBPyConnection, a: list[float], b: list[float]) -> Overlap:
    for name, values in (("a", a), ("b", b)):
        connection.execute(
            f"CREATE TABLE labels_{name} AS SELECT 'at://' || n AS uri, values[n]::DOUBLE AS "
            f"{name}, true AS was_successfully_labeled, 'm' AS model, 'h' AS config_hash, "
            "TIMESTAMP '2024-05-01' AS preprocessing_timestamp FROM (SELECT unnest(range(1, "
            "len(given) + 1)) AS n, given AS values FROM (SELECT $given::DOUBLE[] AS given))",
            {"given": values},
        )
    columns = (label_columns(connection, name, "memory")[name] for name in "ab")
    return Overlap(connection, ("a", "b"), "memory", [Pair(*columns)])


def fitted(a: list[float], b: list[float]) -> ColumnMap | NotCompared:
    with duckdb.connect() as connection:
        return fit_map(overlap_of(connection, a, b), 0)


CONNECTION = duckdb.connect()


def mapped(column: ColumnMap, scores: Sequence[float | None]) -> list[float | None]:
    """What DuckDB makes of scores."""
    rows = CONNECTION.execute(
        f"SELECT {mapped_value(column, 'score')} FROM (SELECT unnest($scores::DOUBLE[]) AS score)",
        {"scores": list(scores)},
    ).fetchall()
    return [row[0] for row in rows]


def test_the_view_computes_what_scikit_learn_predicts() -> None:
    a, b = correlated(600)
    column = fitted(a.tolist(), b.tolist())
    assert isinstance(column, ColumnMap) and len(column.knots) < fitting.MOST_KNOTS
    expected = IsotonicRegression(out_of_bounds="clip").fit(b, a)
    scores = [*b.tolist(), -1.0, 2.0, *np.linspace(0, 1, 50).tolist()]
    assert mapped(column, scores) == pytest.approx(expected.predict(scores).tolist())
    # With it, the successor has the mean of what it replaces.
    assert np.mean([value or 0 for value in mapped(column, b.tolist())]) == pytest.approx(a.mean())


def test_scores_that_are_no_numbers_are_not_mapped() -> None:
    column = ColumnMap(a="a", b="b", posts=100, knots=((0.2, 0.1), (0.4, 0.3)))
    assert mapped(column, [None, math.nan, math.inf, -math.inf]) == [None] * 4
    assert mapped(column, [0.0, 0.2, 0.3, 0.4, 9.0]) == pytest.approx([0.1, 0.1, 0.2, 0.3, 0.3])


@given(st.lists(st.tuples(shares, shares), min_size=2, max_size=40, unique_by=lambda one: one[0]))
def test_a_mapped_score_never_descends_nor_leaves_the_range(
    rows: list[tuple[float, float]],
) -> None:
    scores, values = zip(*sorted(rows), strict=True)
    knots = tuple(zip(scores, sorted(values), strict=True))
    column = ColumnMap(a="a", b="b", posts=100, knots=knots)
    found = [value or 0.0 for value in mapped(column, sorted([*scores, *np.linspace(0, 1, 9)]))]
    assert all(y <= z + 1e-12 for y, z in pairwise(found))
    assert min(found) >= min(values) and max(found) <= max(values)


def test_what_cannot_be_mapped_says_why() -> None:
    few = fitted([0.1, 0.2], [0.3, 0.4])
    assert isinstance(few, NotCompared) and "100" in few.reason
    same = fitted([0.1, 0.2] * 100, [0.5] * 200)
    assert isinstance(same, NotCompared) and "same" in same.reason


def test_a_long_line_keeps_the_points_that_matter() -> None:
    scores = np.linspace(0, 1, 5000)
    values = np.sqrt(scores)
    knots = thin_knots(scores, values, 50)
    assert len(knots) == 50
    away = np.abs(values - np.interp(scores, *zip(*knots, strict=True)))
    assert away.max() < 0.005
    assert thin_knots(scores, scores, 50) == [(0, 0), (1, 1)]


def test_very_many_scores_are_put_into_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = correlated(5000)
    with duckdb.connect() as connection:
        overlap = overlap_of(connection, a.tolist(), b.tolist())
        exact = match_threshold(read_scores.read_scores(overlap, 0, 0.5))
        monkeypatch.setattr(read_scores, "MOST_SCORES", 1000)
        found = read_scores.read_scores(overlap, 0, 0.5)
    assert found.scores.size <= 1001 and found.posts == 5000
    grouped = match_threshold(found)
    assert grouped.wanted == pytest.approx(exact.wanted)
    assert grouped.threshold == pytest.approx(exact.threshold, abs=0.002)
