"""Estimate the prevalence of categories and the mean of a score, naive and corrected."""

import math

import numpy as np

from pipeline.analysis import statistics
from pipeline.analysis.agreement import Array
from pipeline.analysis.gold import cautions, errors, prevalence
from pipeline.analysis.gold.cells import Cells
from pipeline.analysis.gold.estimate import estimate
from pipeline.analysis.gold.judgement import ErrorSums, Judgement
from pipeline.analysis.gold.results import ByFormula, Caution, Prevalence
from pipeline.analysis.options import BootstrapDraws


def estimate_prevalence(
    judgement: Judgement, draws: BootstrapDraws
) -> tuple[tuple[Prevalence, ...], list[Caution]]:
    """Return the prevalence of each category and of the score, with what is wrong with them."""
    estimates: list[Prevalence] = []
    warnings: list[Caution] = []
    cells, coding = judgement.cells, judgement.coding
    if cells is not None and coding is not None and any(judgement.population):
        table, resampled = cells.table(), cells.resample(draws)
        categories = range(len(coding.labels)) if coding.positive is None else [coding.positive]
        for category in categories:
            estimate = _prevalence_of(judgement, cells, (table, resampled), category)
            estimates.append(estimate)
            warnings += cautions.of_prevalence(
                estimate, float(table[category].sum()), float(table[:, category].sum())
            )
    if judgement.errors is not None and judgement.population_mean is not None:
        estimates.append(_mean_score(judgement, judgement.errors, draws))
    return tuple(estimates), warnings


def _prevalence_of(
    judgement: Judgement, cells: Cells, tables: tuple[Array, Array], category: int
) -> Prevalence:
    assert judgement.coding is not None
    table, resampled = tables
    population = sum(judgement.population)
    naive = judgement.population[category] / population
    variance = prevalence.variance_of_share(cells, category)
    is_complete = bool(np.all(cells.fractions == 1))
    value = naive + float(prevalence.correction(table, category))
    return Prevalence(
        label=judgement.coding.labels[category],
        population=population,
        naive=naive,
        gold_only=estimate(
            float(prevalence.gold_share(table, category)),
            prevalence.gold_share(resampled, category),
            complete=is_complete,
        ),
        corrected=estimate(
            value, naive + prevalence.correction(resampled, category), complete=is_complete
        ),
        by_formula=_by_formula(value, variance, judgement.posts, population),
    )


def _mean_score(
    judgement: Judgement, sums: tuple[ErrorSums, ...], draws: BootstrapDraws
) -> Prevalence:
    assert judgement.population_mean is not None
    posts, naive = judgement.population_mean
    fractions = judgement.fractions
    means = errors.weighted_means(errors.total(sums))
    resampled = errors.weighted_means(errors.resample_totals(sums, fractions, draws))
    is_complete = bool(np.all(fractions == 1))
    value = naive - float(means[errors.ERROR - 1])
    variance = prevalence.variance_of_mean(sums, fractions, errors.ERROR)
    return Prevalence(
        label="mean",
        population=posts,
        naive=naive,
        gold_only=estimate(
            float(means[errors.GOLD - 1]), resampled[:, errors.GOLD - 1], complete=is_complete
        ),
        corrected=estimate(value, naive - resampled[:, errors.ERROR - 1], complete=is_complete),
        by_formula=_by_formula(value, variance, judgement.posts, posts),
    )


def _by_formula(
    value: float, variance: prevalence.Variance, posts: int, population: int
) -> ByFormula | None:
    """Return what follows from the variance; None where a single post is coded."""
    error = math.sqrt(variance.value)
    if posts < 2 or not math.isfinite(error) or not math.isfinite(value):
        return None
    half = error * statistics.t_quantile(variance.freedom)
    needed = prevalence.posts_needed(variance, posts, population) if variance.endless else {}
    return ByFormula(standard_error=error, interval=(value - half, value + half), needed=needed)
