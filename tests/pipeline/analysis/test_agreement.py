"""The measures are what scipy, scikit-learn and Krippendorff's own examples say, and never NaN."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from pipeline.analysis import agreement, bootstrap
from pipeline.analysis.agreement import Array
from pipeline.analysis.options import BootstrapDraws
from tests.pipeline.analysis.compared_columns import comparison, correlated, values


def coincidences(observers: str) -> tuple[Array, Array]:
    """Return the coincidence matrix and the values in order, for any number of observers.

    Each observer has a line, with `.` where a value is missing. A unit's m values make m (m - 1)
    pairs, and each pair counts 1 / (m - 1) times.
    """
    rows = [
        [None if v == "." else float(v) for v in line.split()] for line in observers.split("\n")
    ]
    known = sorted({value for row in rows for value in row if value is not None})
    matrix = np.zeros((len(known), len(known)))
    for unit in zip(*rows, strict=True):
        had = [known.index(value) for value in unit if value is not None]
        for i, one in enumerate(had):
            for j, other in enumerate(had):
                if i != j:
                    matrix[one, other] += 1 / (len(had) - 1)
    return matrix, np.array(known)


# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), A, B and C, and the example of
# three observers in his Content Analysis.
TWO_OBSERVERS_BINARY = "0 1 0 0 0 0 0 0 1 0\n1 1 1 0 0 1 0 0 0 0"
TWO_OBSERVERS_NOMINAL = "1 1 2 2 4 3 3 3 5 4 4 1\n2 1 2 2 2 3 3 3 5 4 4 4"
FOUR_OBSERVERS = """\
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 ."""
THREE_OBSERVERS = """\
. . . . . 3 4 1 2 1 1 3 3 . 3
1 . 2 1 3 3 4 3 . . . . . . .
. . 2 1 3 4 4 . 2 1 1 3 3 . 4"""


@pytest.mark.parametrize(
    ("observers", "level", "published"),
    [
        (TWO_OBSERVERS_BINARY, "nominal", 0.095),
        (TWO_OBSERVERS_NOMINAL, "nominal", 0.692),
        (FOUR_OBSERVERS, "nominal", 0.743),
        (FOUR_OBSERVERS, "interval", 0.849),
        (THREE_OBSERVERS, "nominal", 0.691),
        (THREE_OBSERVERS, "interval", 0.811),
    ],
)
def test_alpha_has_the_published_value(observers: str, level: str, published: float) -> None:
    matrix, known = coincidences(observers)
    distance = (
        agreement.nominal_distance(known.size)
        if level == "nominal"
        else agreement.interval_distance(known)
    )
    assert round(float(agreement.krippendorff_alpha(matrix, distance)), 3) == published


def test_a_comparison_gives_the_published_alpha_of_two_observers() -> None:
    a, b = map(str.split, TWO_OBSERVERS_NOMINAL.split("\n"))
    alpha = values(comparison(a, b))["alpha_nominal"]
    assert alpha is not None and round(alpha, 3) == 0.692


numbers = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32))
pairs_of_numbers = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=40)
tables = st.lists(st.integers(0, 30), min_size=9, max_size=9).map(
    lambda counts: np.array(counts, dtype=np.float64).reshape(3, 3)
)


@given(pairs=pairs_of_numbers)
def test_alpha_from_sums_equals_alpha_with_a_category_for_every_number(
    pairs: list[tuple[float, float]],
) -> None:
    a, b = np.array(pairs).T
    known, codes = np.unique([a, b], return_inverse=True)
    assume(known.size > 1 and np.ptp(known) > 1e-3)
    table = np.zeros((known.size, known.size))
    np.add.at(table, tuple(codes.reshape(2, -1)), 1)
    by_pairs = agreement.krippendorff_alpha(
        agreement.coincidences(table), agreement.interval_distance(known)
    )
    assert agreement.alpha_of_numbers(a, b) == pytest.approx(float(by_pairs), abs=1e-6)


@given(several=st.lists(tables, min_size=1, max_size=4))
def test_kappa_of_a_stack_of_tables_equals_scikit_learns_of_each(several: list[Array]) -> None:
    assume(all(np.count_nonzero(table) > 1 for table in several))
    found = agreement.cohen_kappa(np.stack(several))
    for kappa, table in zip(found, several, strict=True):
        rows, cols = np.nonzero(table)
        expected = cohen_kappa_score(rows, cols, sample_weight=table[rows, cols])
        assert kappa == pytest.approx(expected)


def drawn(a: Array, b: Array, draws: BootstrapDraws) -> list[tuple[Array, Array]]:
    """The very posts that the bootstrap draws."""
    order = np.lexsort((b, a))
    generator = np.random.default_rng(draws.seed)
    taken = [generator.integers(a.size, size=a.size) for _ in range(draws.resamples)]
    return [(a[order][one], b[order][one]) for one in taken]


@settings(max_examples=40, deadline=None)
@given(pairs=pairs_of_numbers, seed=st.integers(0, 9))
def test_each_resample_has_the_measures_of_scipy_and_scikit_learn(
    pairs: list[tuple[float, float]], seed: int
) -> None:
    a, b = np.array(pairs).T
    draws = BootstrapDraws(5, seed)
    found = bootstrap.resample_numbers(a, b, (a >= 0.5, b >= 0.5), draws)
    scores = bootstrap.resample_scores(a, [b >= 0.5], draws)[0]
    for at, (x, y) in enumerate(drawn(a, b, draws)):
        assert found["mean_difference"][at] == pytest.approx(np.mean(x - y), abs=1e-9)
        if np.ptp(x) and np.ptp(y):
            assert found["spearman"][at] == pytest.approx(stats.spearmanr(x, y).statistic)
        else:
            assert np.isnan([found["spearman"][at], found["pearson"][at]]).all()
        if min(np.ptp(x), np.ptp(y)) > 1e-3:
            assert found["pearson"][at] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-6)
            alpha = agreement.alpha_of_numbers(x, y)
            assert found["alpha_interval"][at] == pytest.approx(float(alpha), abs=1e-6)
        if 0 < (y >= 0.5).sum() < y.size:
            assert found["auc_a_for_b"][at] == pytest.approx(roc_auc_score(y >= 0.5, x))
        else:
            assert np.isnan(found["auc_a_for_b"][at])
        if 0 < (x >= 0.5).sum() < x.size:
            assert found["auc_b_for_a"][at] == pytest.approx(roc_auc_score(x >= 0.5, y))
    # Posts of one score and one call are drawn in the same order by either.
    order = np.lexsort((b >= 0.5, a))
    generator = np.random.default_rng(draws.seed)
    for value in scores:
        one = order[generator.integers(a.size, size=a.size)]
        called = b[one] >= 0.5
        if 0 < called.sum() < called.size:
            assert value == pytest.approx(roc_auc_score(called, a[one]))


def test_an_interval_of_numbers_equals_that_of_scipys_bootstrap() -> None:
    a, b = correlated(400)
    own = comparison(a, b, draws=BootstrapDraws(2000, 1)).measures["pearson"].interval
    theirs = stats.bootstrap(
        (a, b),
        lambda x, y, axis: stats.pearsonr(x, y, axis=axis).statistic,
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert own == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_an_interval_of_categories_equals_that_of_scipys_bootstrap() -> None:
    generator = np.random.default_rng(5)
    a = generator.integers(0, 3, 400)
    b = np.where(generator.random(400) < 0.7, a, generator.integers(0, 3, 400))
    names = np.array(["left", "right", "unclear"])
    own = comparison(names[a], names[b], draws=BootstrapDraws(2000, 1)).measures["kappa"].interval
    theirs = stats.bootstrap(
        (a, b), cohen_kappa_score, paired=True, vectorized=False, n_resamples=300,
        method="percentile", rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert own == pytest.approx((theirs.low, theirs.high), abs=0.02)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pairs=pairs_of_numbers)
def test_every_measure_is_in_its_interval_or_has_a_reason_for_having_none(
    pairs: list[tuple[float, float]],
) -> None:
    a, b = zip(*pairs, strict=True)
    found = comparison(a, b)
    json.dumps(asdict(found), allow_nan=False)
    for name, one in found.measures.items():
        assert (one.value is None or one.interval is None) == bool(one.reason), name
        if one.value is not None and one.interval and len(pairs) > 9:
            low, high = one.interval
            assert low - 1e-9 <= one.value <= high + 1e-9, name


@settings(max_examples=15, deadline=None)
@given(pairs=pairs_of_numbers, data=st.data())
def test_the_order_of_posts_and_of_names_does_not_matter(
    pairs: list[tuple[float, float]], data: st.DataObject
) -> None:
    a, b = zip(*pairs, strict=True)
    one, other = comparison(a, b), comparison(*zip(*data.draw(st.permutations(pairs)), strict=True))
    assert values(one) == pytest.approx(values(other), abs=1e-9)
    for name, estimate in one.measures.items():
        assert estimate.interval == pytest.approx(other.measures[name].interval, abs=1e-6), name
    there, back = values(one), values(comparison(b, a))
    for name in ("pearson", "spearman", "alpha_interval", "agreement", "kappa", "alpha_nominal"):
        assert there[name] == pytest.approx(back[name], abs=1e-9), name
    for name, turned in (("auc_a_for_b", "auc_b_for_a"), ("auc_b_for_a", "auc_a_for_b")):
        assert there[name] == pytest.approx(back[turned])
    assert there["mean_difference"] == pytest.approx(-(back["mean_difference"] or 0))


@pytest.mark.parametrize(
    "column", [[0.1, 0.4, 0.6, 0.9] * 5, ["left", "right"] * 10, [True, False] * 9]
)
def test_full_agreement_is_1_with_an_interval_of_no_width(column: list[Any]) -> None:
    found = comparison(column, column)
    for name, one in found.measures.items():
        expected = 0 if name == "mean_difference" else 1
        assert (one.value, one.interval) == (
            pytest.approx(expected), pytest.approx((expected, expected))
        ), name  # fmt: skip
