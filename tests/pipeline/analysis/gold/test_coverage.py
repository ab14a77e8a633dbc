"""Simulated studies: intervals cover the truth as often as they say, and corrections are unbiased.

`benchmarks/coverage.py` does the same with more studies and other designs.
"""

from collections import Counter

import numpy as np
import pytest

from pipeline.analysis import statistics
from pipeline.analysis.gold import errors, prevalence
from pipeline.analysis.options import BootstrapDraws
from tests.pipeline.analysis.gold.studies import (
    draw,
    error_sums,
    estimates,
    population,
    true_measures,
)

STUDIES = 600
SIZES = (120, 120, 120)
# 95 %, and three standard errors of the share in 600 studies: 0.95 - 3 * 0.0089.
LEAST, MOST = 0.923, 0.977


def test_intervals_of_a_stratified_sample_cover_the_truth_at_their_rate() -> None:
    people = population()
    truth = true_measures(people)
    covered: Counter[str] = Counter()
    for number, (_, cells) in enumerate(draw(people, SIZES, STUDIES, seed=2)):
        for name, samples in estimates(people, cells.resample(BootstrapDraws(400, number))).items():
            low, high = np.quantile(samples, [0.025, 0.975])
            covered[name] += low <= truth[name] <= high
        variance = prevalence.variance_of_share(cells, 1)
        middle = float(people.model.mean() + prevalence.correction(cells.table(), 1))
        half = statistics.t_quantile(variance.freedom) * variance.value**0.5
        covered["by formula"] += middle - half <= truth["prevalence"] <= middle + half
    rates = {name: count / STUDIES for name, count in covered.items()}
    assert {name: rate for name, rate in rates.items() if not LEAST <= rate <= MOST} == {}, rates
    assert {"accuracy", "precision", "recall", "f1", "prevalence"} <= rates.keys()


def test_the_corrected_prevalence_is_unbiased_although_the_classifier_is_biased() -> None:
    people = population()
    middles = [
        float(estimates(people, cells.table())["prevalence"])
        for _, cells in draw(people, SIZES, 3000, seed=3)
    ]
    error = np.std(middles) / len(middles) ** 0.5
    assert np.mean(middles) == pytest.approx(people.gold.mean(), abs=4 * error)
    assert abs(people.model.mean() - people.gold.mean()) > 20 * error


def test_without_its_weights_the_same_sample_is_biased() -> None:
    """The strata with high scores are over-represented in it."""
    people = population()
    shares = [people.gold[sample].mean() for sample, _ in draw(people, SIZES, 100, seed=4)]
    assert np.mean(shares) > people.gold.mean() + 0.02


def test_intervals_of_mean_errors_cover_the_truth_at_their_rate() -> None:
    people, few, studies = population(), (50, 50, 50), 400
    error = people.score - people.truth
    truth = {"mae": np.abs(error).mean(), "mean_error": error.mean()}
    covered: Counter[str] = Counter()
    fractions = np.array(few) / np.bincount(people.strata)
    for number, (sample, _) in enumerate(draw(people, few, studies, seed=5)):
        sums = error_sums(people, sample, few)
        totals = errors.resample_totals(sums, fractions, BootstrapDraws(200, number))
        lows, highs = np.quantile(errors.weighted_means(totals), [0.025, 0.975], axis=0)
        covered["mae"] += lows[0] <= truth["mae"] <= highs[0]
        covered["mean_error"] += lows[1] <= truth["mean_error"] <= highs[1]
        variance = prevalence.variance_of_mean(tuple(sums), fractions, errors.ERROR)
        middle = errors.weighted_means(errors.total(sums))[errors.ERROR - 1]
        half = statistics.t_quantile(variance.freedom) * variance.value**0.5
        covered["by formula"] += middle - half <= truth["mean_error"] <= middle + half
    rates = {name: count / studies for name, count in covered.items()}
    assert {
        name: rate for name, rate in rates.items() if not LEAST - 0.006 <= rate <= MOST
    } == {}, rates


def test_the_posts_needed_give_the_interval_that_was_asked_for() -> None:
    people = population()
    _, cells = next(draw(people, SIZES, 1, seed=6))
    needed = prevalence.posts_needed(
        prevalence.variance_of_share(cells, 1), sum(SIZES), people.gold.size
    )
    assert list(needed) == ["0.05", "0.02", "0.01"]
    larger = [round(size * needed["0.02"] / sum(SIZES)) for size in SIZES]
    halves = [
        prevalence.Z * prevalence.variance_of_share(other, 1).value ** 0.5
        for _, other in draw(people, larger, 30, seed=7)
    ]
    assert np.mean(halves) == pytest.approx(0.02, rel=0.15)
