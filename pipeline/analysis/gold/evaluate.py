"""Evaluate a classifier's column against gold: measures with intervals, prevalence, strata.

The estimates come from scikit-learn where it has them. The intervals come from resampling with the
formulas of `pipeline.analysis.gold.classification`, which the tests compare with scikit-learn's.
"""

from dataclasses import replace

import numpy as np

from pipeline.analysis import statistics
from pipeline.analysis.agreement import Array, ratio
from pipeline.analysis.gold import cautions, classification, errors
from pipeline.analysis.gold.cells import Cells
from pipeline.analysis.gold.estimate import estimate
from pipeline.analysis.gold.estimate_prevalence import estimate_prevalence
from pipeline.analysis.gold.judgement import ErrorSums, Judgement, Months, ScoreBins
from pipeline.analysis.gold.results import (
    GoldComparison,
    StratumResult,
    WeightedConfusion,
)
from pipeline.analysis.options import BootstrapDraws
from pipeline.analysis.results import Bin, Curve, Estimate, Month

# With fewer coded posts, a stratum gets no measures of its own.
FEWEST_FOR_MEASURES = 30


def evaluate(judgement: Judgement, draws: BootstrapDraws) -> GoldComparison:
    """Return how well a classifier's column matches gold. Nothing is read."""
    with np.errstate(all="ignore"):
        return _evaluate(judgement, draws)


def _evaluate(judgement: Judgement, draws: BootstrapDraws) -> GoldComparison:
    coding = judgement.coding
    found = GoldComparison(
        model=judgement.model.name,
        gold=judgement.gold.name,
        kinds=(judgement.model.kind, judgement.gold.kind),
        posts=judgement.posts,
        not_coded=sum(stratum.sampled - stratum.coded for stratum in judgement.strata),
        without_model=judgement.without_model,
        threshold=coding.threshold if coding else None,
        positive=coding.labels[coding.positive] if coding and coding.positive is not None else None,
        measures={},
    )
    if not judgement.posts:
        return found
    estimates, warnings = estimate_prevalence(judgement, draws)
    confusion = judgement.cells and coding and _confusion(judgement.cells, coding.labels)
    return replace(
        found,
        measures=_measure(judgement, judgement.cells, judgement.errors, draws),
        confusion=confusion or None,
        prevalence=estimates,
        strata=_measure_strata(judgement, draws),
        warnings=(*cautions.of_sample(judgement), *warnings),
        calibration=_calibrate(judgement.bins, found.positive or "", draws),
        months=_by_month(judgement.months, draws),
    )


def _measure(
    judgement: Judgement,
    cells: Cells | None,
    sums: tuple[ErrorSums, ...] | None,
    draws: BootstrapDraws,
) -> dict[str, Estimate]:
    """Return the measures of some coded posts: all, or those of one stratum."""
    measures: dict[str, Estimate] = {}
    coding = judgement.coding
    if cells is not None and coding is not None:
        table = cells.table()
        reasons = classification.why_undefined(table, coding.labels, coding.positive)
        values = statistics.classification(table, coding.labels, coding.positive)
        resampled = cells.resample(draws)
        is_complete = bool(np.all(cells.fractions == 1))
        wanted = classification.measures_of(table, coding.labels, coding.positive)
        for name, measure in wanted.items():
            reason = reasons.get(name, "")
            value = np.nan if reason else values[name]
            measures[name] = estimate(value, measure(resampled), reason, complete=is_complete)
    if sums is not None:
        fractions = cells.fractions if cells is not None else judgement.fractions
        measures |= _measure_errors(sums, fractions, draws)
    return measures


def _measure_errors(
    sums: tuple[ErrorSums, ...], fractions: Array, draws: BootstrapDraws
) -> dict[str, Estimate]:
    means = errors.weighted_means(errors.total(sums))
    resampled = errors.weighted_means(errors.resample_totals(sums, fractions, draws))
    is_complete = bool(np.all(fractions == 1))
    return {
        name: estimate(float(means[place - 1]), resampled[:, place - 1], complete=is_complete)
        for name, place in (("mae", errors.ABSOLUTE), ("mean_error", errors.ERROR))
    }


def _measure_strata(judgement: Judgement, draws: BootstrapDraws) -> tuple[StratumResult, ...]:
    """Return the measures of each stratum; none where there are no strata."""
    if len(judgement.strata) < 2:
        return ()
    population = sum(stratum.weight for stratum in judgement.strata)
    results = []
    number = -1
    for stratum in judgement.strata:
        number += stratum.coded > 0
        result = StratumResult(
            stratum=stratum.name,
            sampled=stratum.sampled,
            coded=stratum.coded,
            share=stratum.weight / population,
        )
        if stratum.coded < FEWEST_FOR_MEASURES:
            reason = f"fewer than {FEWEST_FOR_MEASURES} coded posts"
            results.append(replace(result, reason=reason))
            continue
        cells = judgement.cells.stratum(number) if judgement.cells else None
        sums = (judgement.errors[number],) if judgement.errors else None
        of_stratum = replace(judgement, strata=(stratum,))
        results.append(replace(result, measures=_measure(of_stratum, cells, sums, draws)))
    return tuple(results)


def _confusion(cells: Cells, labels: tuple[str, ...]) -> WeightedConfusion:
    table = cells.table()
    return WeightedConfusion(
        gold=labels,
        model=labels,
        counts=tuple(tuple(map(int, row)) for row in cells.counted()),
        shares=tuple(tuple(map(float, row)) for row in table / table.sum()),
    )


def _calibrate(bins: ScoreBins | None, label: str, draws: BootstrapDraws) -> tuple[Curve, ...]:
    """Return the weighted share of gold positives by bins of the classifier's score."""
    if bins is None:
        return ()
    table, counts = bins.cells.table(), bins.cells.counted().sum(axis=1)
    resampled = bins.cells.resample(draws)
    shares = ratio(table[:, 1], table.sum(axis=1))
    sampled = ratio(resampled[..., 1], resampled.sum(axis=-1))
    is_complete = bool(np.all(bins.cells.fractions == 1))
    found = tuple(
        Bin(
            low=bins.edges[number],
            high=bins.edges[number + 1],
            posts=int(counts[number]),
            mean_score=float(bins.means[number]),
            share_positive=float(shares[number]),
            interval=estimate(
                float(shares[number]), sampled[:, number], complete=is_complete
            ).interval,
        )
        for number in np.flatnonzero(counts)
    )
    return (Curve(score="model", label=f"gold {label}", bins=found),)


def _by_month(months: Months | None, draws: BootstrapDraws) -> tuple[Month, ...]:
    """Return the weighted share of posts in which gold and the classifier agree, by month."""
    if months is None:
        return ()
    table, counts = months.cells.table(), months.cells.counted().sum(axis=1)
    resampled = months.cells.resample(draws)
    sampled = ratio(resampled[..., 1], resampled.sum(axis=-1))
    is_complete = bool(np.all(months.cells.fractions == 1))
    found = []
    for number, name in enumerate(months.names):
        share = float(table[number, 1] / table[number].sum())
        interval = estimate(share, sampled[:, number], complete=is_complete).interval
        found.append(
            Month(month=name, posts=int(counts[number]), agreement=share, interval=interval)
        )
    return tuple(found)
