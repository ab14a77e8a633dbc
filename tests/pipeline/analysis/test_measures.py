"""The kinds of two columns decide what is measured; what has no value says why."""

import json
import math
import warnings
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from pipeline.analysis import agreement, measures
from pipeline.analysis.options import BootstrapDraws
from pipeline.analysis.results import Comparison, Confusion, Estimate, NotCompared
from tests.pipeline.analysis.compared_columns import (
    compared,
    comparison,
    correlated,
    undefined,
    values,
)


def test_numbers_are_compared_as_numbers_and_at_the_threshold() -> None:
    a, b = correlated(300)
    found = comparison(a, b, threshold=0.6)
    assert list(found.measures) == [
        "pearson", "spearman", "mean_difference", "alpha_interval",
        "agreement", "kappa", "alpha_nominal", "auc_a_for_b", "auc_b_for_a",
    ]  # fmt: skip
    assert values(found) == pytest.approx(
        {
            "pearson": stats.pearsonr(a, b).statistic,
            "spearman": stats.spearmanr(a, b).statistic,
            "mean_difference": np.mean(a - b),
            "alpha_interval": float(agreement.alpha_of_numbers(a, b)),
            "agreement": np.mean((a >= 0.6) == (b >= 0.6)),
            "kappa": cohen_kappa_score(a >= 0.6, b >= 0.6),
            "alpha_nominal": values(comparison(a >= 0.6, b >= 0.6))["alpha_nominal"],
            "auc_a_for_b": roc_auc_score(b >= 0.6, a),
            "auc_b_for_a": roc_auc_score(a >= 0.6, b),
        }
    )
    assert found.threshold == 0.6
    assert found.confusion and sum(map(sum, found.confusion.counts)) == 300
    assert found.confusion.a == found.confusion.b == ("< 0.6", ">= 0.6")
    assert [(curve.score, curve.label) for curve in found.calibration] == [
        ("a", "B >= 0.6"), ("b", "A >= 0.6"),
    ]  # fmt: skip


def test_numbers_outside_0_to_1_have_a_threshold_only_where_one_is_given() -> None:
    a, b = [-0.5, 0.1, 0.7, 0.9], [-0.4, 0.3, 0.8, -0.2]
    found = comparison(a, b)
    assert (found.threshold, found.confusion, found.calibration) == (None, None, ())
    assert list(found.measures) == list(measures.NUMBER_MEASURES)
    found = comparison(a, b, threshold=0.05)
    assert found.confusion == Confusion(
        a=("< 0.05", ">= 0.05"), b=("< 0.05", ">= 0.05"), counts=((1, 0), (1, 2))
    )
    assert (values(found)["agreement"], found.calibration) == (0.75, ())


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_the_curve_equals_scikit_learns_and_counts_the_posts_of_each_bin(strategy: str) -> None:
    a, b = correlated(500)
    a = np.round(a, 1)  # on the edges of the bins, and many alike
    (curve, _) = comparison(a, b, bins=strategy).calibration
    shares, means = calibration_curve(b >= 0.5, a, n_bins=10, strategy=strategy)
    assert [one.share_positive for one in curve.bins] == pytest.approx(shares)
    assert [one.mean_score for one in curve.bins] == pytest.approx(means)
    assert sum(one.posts for one in curve.bins) == 500
    for one in curve.bins:
        inside = (a <= one.high) & ((a > one.low) | (one.low == curve.bins[0].low))
        assert one.posts == inside.sum()
        if one.interval is None:
            # That all posts are alike does not show how uncertain it is.
            assert one.share_positive in (0, 1)
        else:
            assert one.interval[0] <= one.share_positive <= one.interval[1]


def test_a_score_and_a_flag_have_the_auc_the_curve_and_the_agreement_at_the_threshold() -> None:
    a, b = correlated(200)
    flags = b >= 0.7
    found = comparison(a, flags)
    assert values(found) == pytest.approx(
        {
            "auc_a_for_b": roc_auc_score(flags, a),
            "agreement": np.mean((a >= 0.5) == flags),
            "kappa": cohen_kappa_score(a >= 0.5, flags),
            "alpha_nominal": values(comparison(a >= 0.5, flags))["alpha_nominal"],
        }
    )
    assert [(curve.score, curve.label) for curve in found.calibration] == [("a", "B true")]
    turned = comparison(flags, a)
    assert turned.measures["auc_b_for_a"].value == found.measures["auc_a_for_b"].value
    assert found.confusion and turned.confusion
    assert (turned.confusion.a, turned.confusion.b) == (found.confusion.b, found.confusion.a)
    assert np.array_equal(turned.confusion.counts, np.transpose(found.confusion.counts))


def test_a_score_and_categories_have_an_auc_for_each_of_them() -> None:
    a, b = correlated(200)
    labels = np.array(["low", "middle", "high"])[np.digitize(b, [0.3, 0.6])]
    found = comparison(labels, a)
    assert values(found) == pytest.approx(
        {
            f"auc_b_for_a: {name}": roc_auc_score(labels == name, a)
            for name in ("high", "low", "middle")
        }
    )
    assert [curve.label for curve in found.calibration] == ["A high", "A low", "A middle"]


def test_posts_without_a_value_are_left_out_and_counted() -> None:
    found = comparison([0.1, None, 0.3, math.nan, 0.5, 0.7], [0.2, 0.4, None, None, 0.6, 0.6])
    assert (found.posts, found.without_a, found.without_b) == (3, 2, 2)
    assert found.measures["mean_difference"].value == pytest.approx(-0.1 / 3)


NONE = undefined("no post has a value in both")
NEVER = "not defined in 200 of 200 resamples"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (
            [0.2, 0.2, 0.2],
            [0.1, 0.6, 0.9],
            {
                "pearson": "A is constant",
                "spearman": "A is constant",
                "auc_b_for_a": "no post is A >= 0.5",
            },
        ),
        (
            [0.7, 0.7],
            [0.7, 0.7],
            {
                "pearson": "A and B are constant",
                "spearman": "A and B are constant",
                "alpha_interval": "all numbers are the same",
                "kappa": "A and B have the same single value in every post",
                "alpha_nominal": "A and B have the same single value in every post",
                "auc_a_for_b": "every post is B >= 0.5",
                "auc_b_for_a": "every post is A >= 0.5",
            },
        ),
        (
            ["x", "x"],
            ["x", "x"],
            {
                "kappa": "A and B have the same single value in every post",
                "alpha_nominal": "A and B have the same single value in every post",
            },
        ),
        (
            [True, False],
            ["yes", "no"],
            dict.fromkeys(measures.TABLE_MEASURES, "A and B have no category in common"),
        ),
        ([0.1, 0.2], [False, False], {
            "auc_a_for_b": "no post is B true",
            "kappa": "A and B have the same single value in every post",
            "alpha_nominal": "A and B have the same single value in every post",
        }),
        ([None, 0.2], [0.3, None], dict.fromkeys(measures.NUMBER_MEASURES, NONE.reason)),
        ([None, "x"], ["x", None], dict.fromkeys(measures.TABLE_MEASURES, NONE.reason)),
        ([None, 0.1], ["x", None], {"auc_a_for_b": NONE.reason}),
        ([True, None], [None, 0.1], {"auc_b_for_a": NONE.reason}),
    ],
)  # fmt: skip
def test_a_measure_that_is_not_defined_says_why(
    a: list[Any], b: list[Any], expected: dict[str, str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = comparison(a, b)
    json.dumps(asdict(found), allow_nan=False)
    assert {n: one for n, one in found.measures.items() if one.value is None} == {
        name: undefined(reason) for name, reason in expected.items()
    }


def test_one_post_gives_values_without_intervals() -> None:
    found = comparison([0.2], [0.6])
    assert found.measures["agreement"] == Estimate(value=0.0, reason="one post gives no interval")
    assert found.measures["mean_difference"].interval is None
    assert found.calibration == ()


def test_a_measure_that_is_undefined_in_most_resamples_has_no_interval() -> None:
    found = comparison([0.1] * 9 + [0.9], [0.1] * 9 + [0.9], draws=BootstrapDraws(1000, 0))
    assert found.measures["pearson"].value == pytest.approx(1)
    assert found.measures["pearson"].interval is None
    assert found.measures["pearson"].reason == "not defined in 335 of 1,000 resamples"


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_numbers_whose_squares_overflow_have_no_correlation(scale: float) -> None:
    found = comparison([1 * scale, 2 * scale, 3 * scale], [1 * scale, 3 * scale, 2 * scale])
    json.dumps(asdict(found), allow_nan=False)
    assert found.measures["spearman"].value == pytest.approx(0.5)


def test_free_text_is_not_compared() -> None:
    words = [f"because of {number}" for number in range(51)]
    assert compared(words, ["left"] * 51) == NotCompared(
        "a", "b", "A has 51 different values, so it is free text"
    )
    assert isinstance(compared(words[:50], ["left"] * 50), Comparison)
