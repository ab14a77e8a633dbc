"""Compare two columns: their kinds decide the measures, and each measure has an interval.

The estimates come from scipy and scikit-learn. The intervals come from resampling with the formulas
of `pipeline.analysis.agreement`, which the tests compare with theirs.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from pipeline.analysis import agreement, bootstrap, statistics
from pipeline.analysis.agreement import Array
from pipeline.analysis.bootstrap import Flags
from pipeline.analysis.calibration import are_shares, calibration_curves
from pipeline.analysis.months import agreement_by_month
from pipeline.analysis.options import BootstrapDraws, CompareOptions
from pipeline.analysis.overlap import NUMBERS, Overlap, Pair, Presence
from pipeline.analysis.results import (
    Comparison,
    Confusion,
    Curve,
    Estimate,
    MatchedThreshold,
    Month,
    NotCompared,
)
from pipeline.analysis.successor.read_scores import read_scores
from pipeline.analysis.successor.score_groups import match_threshold
from pipeline.model import ColumnKind

# With more distinct values than that, texts are a model's own words, not categories.
MOST_CATEGORIES = 50
USUAL_THRESHOLD = 0.5

TABLE_MEASURES: dict[str, Callable[[Array], Array]] = {
    "agreement": agreement.observed_agreement,
    "kappa": agreement.cohen_kappa,
    "alpha_nominal": lambda tables: agreement.krippendorff_alpha(
        agreement.coincidences(tables), agreement.nominal_distance(tables.shape[-1])
    ),
}
NUMBER_MEASURES = ("pearson", "spearman", "mean_difference", "alpha_interval")


def compare_labels(
    overlap: Overlap, number: int, options: CompareOptions
) -> Comparison | NotCompared:
    """Compare the pair of columns with this number in `overlap.pairs`."""
    # Overflow and 0 / 0 give a measure no value, and the estimate says so.
    with np.errstate(all="ignore"):
        found = _compare(overlap, number, options)
        if isinstance(found, NotCompared):
            return found
        months: tuple[Month, ...] = ()
        if found.confusion:
            months = agreement_by_month(overlap, number, found.threshold, options.draws)
        return replace(found, matching=_match(overlap, number, options, found), months=months)


def _match(
    overlap: Overlap, number: int, options: CompareOptions, found: Comparison
) -> MatchedThreshold | None:
    """Return the threshold of B that matches A's prevalence, where both have what it takes."""
    pair = overlap.pairs[number]
    threshold = options.threshold if found.threshold is None else found.threshold
    is_known = pair.a.kind is ColumnKind.FLAG or (pair.a.kind in NUMBERS and threshold is not None)
    if pair.b.kind not in NUMBERS or not is_known:
        return None
    groups = read_scores(overlap, number, threshold)
    return match_threshold(groups) if groups.posts else None


def _compare(overlap: Overlap, number: int, options: CompareOptions) -> Comparison | NotCompared:
    pair, presence = overlap.pairs[number], overlap.presence(number)
    categories: dict[str, list[str]] = {}
    for side, column in (("a", pair.a), ("b", pair.b)):
        if column.kind not in NUMBERS:
            categories[side] = overlap.categories(number, side)
            if (count := len(categories[side])) > MOST_CATEGORIES:
                reason = f"{side.upper()} has {count:,} different values, so it is free text"
                return NotCompared(pair.a.name, pair.b.name, reason)
    if len(categories) == 2:
        rows = overlap.cross_tabulate(number)
        return _compare_categories(pair, presence, rows, options.draws)
    arrays = overlap.arrays(number, categories)
    if categories:
        return _compare_scores(pair, presence, arrays, categories, options)
    return _compare_numbers(pair, presence, *arrays, options)


def _threshold(options: CompareOptions, *columns: Array) -> float | None:
    """Return from where on numbers are positive, or None where that is not known."""
    if options.threshold is not None:
        return options.threshold
    return USUAL_THRESHOLD if all(map(are_shares, columns)) else None


def _compare_numbers(
    pair: Pair, presence: Presence, a: Array, b: Array, options: CompareOptions
) -> Comparison:
    if not presence.both:
        return _comparison(pair, presence, dict.fromkeys(NUMBER_MEASURES, _NO_POSTS))
    threshold = _threshold(options, a, b)
    calls = None if threshold is None else (a >= threshold, b >= threshold)
    samples = bootstrap.resample_numbers(a, b, calls, options.draws)
    not_correlated, no_alpha = _why_undefined(a, b)
    measures = {
        "pearson": _estimate(lambda: statistics.pearson(a, b), samples["pearson"], not_correlated),
        "spearman": _estimate(
            lambda: statistics.spearman(a, b), samples["spearman"], not_correlated
        ),
        "mean_difference": _estimate(lambda: float(np.mean(a - b)), samples["mean_difference"]),
        "alpha_interval": _estimate(
            lambda: float(agreement.alpha_of_numbers(a, b)), samples["alpha_interval"], no_alpha
        ),
    }
    if threshold is None or calls is None:
        return _comparison(pair, presence, measures)
    names = _names_of_sides(threshold)
    table = _cross_tabulate(*calls)
    measures |= _measure_table(table, options.draws)
    measures["auc_a_for_b"] = _auc(a, calls[1], samples["auc_a_for_b"], f"B {names[1]}")
    measures["auc_b_for_a"] = _auc(b, calls[0], samples["auc_b_for_a"], f"A {names[1]}")
    curves = (
        *calibration_curves("a", a, calls[1], f"B {names[1]}", options),
        *calibration_curves("b", b, calls[0], f"A {names[1]}", options),
    )
    confusion = _confusion(names, names, table)
    return _comparison(pair, presence, measures, threshold, confusion, curves)


def _why_undefined(a: Array, b: Array) -> tuple[str, str]:
    """Return why correlations, and why alpha, are not defined; empty where they are."""
    constant = [name for name, values in (("A", a), ("B", b)) if np.all(values == values[0])]
    if not constant:
        return "", ""
    verb = "is" if len(constant) == 1 else "are"
    all_the_same = len(constant) == 2 and a[0] == b[0]
    return (
        f"{' and '.join(constant)} {verb} constant",
        "all numbers are the same" if all_the_same else "",
    )


def _compare_categories(
    pair: Pair, presence: Presence, rows: list[tuple[str, str, int]], draws: BootstrapDraws
) -> Comparison:
    if not rows:
        return _comparison(pair, presence, dict.fromkeys(TABLE_MEASURES, _NO_POSTS))
    names = sorted({name for a, b, _ in rows for name in (a, b)})
    table = np.zeros((len(names), len(names)))
    for a, b, count in rows:
        table[names.index(a), names.index(b)] = count
    shared = {a for a, _, _ in rows} & {b for _, b, _ in rows}
    measures = _measure_table(table, draws, "" if shared else "A and B have no category in common")
    return _comparison(pair, presence, measures, confusion=_confusion(names, names, table))


def _compare_scores(
    pair: Pair,
    presence: Presence,
    arrays: tuple[Array, Array],
    categories: Mapping[str, list[str]],
    options: CompareOptions,
) -> Comparison:
    """Compare numbers on one side with categories on the other.

    Each category in turn is the positive one. Of false and true only true is, and it is also
    compared with the score at the threshold.
    """
    swapped = "a" in categories
    score_side, label_side = ("b", "a") if swapped else ("a", "b")
    auc = f"auc_{score_side}_for_{label_side}"
    if not presence.both:
        return _comparison(pair, presence, {auc: _NO_POSTS})
    scores, codes = arrays[::-1] if swapped else arrays
    known = categories[label_side]
    is_flag = (pair.a if swapped else pair.b).kind == ColumnKind.FLAG
    chosen = ["true"] if is_flag else known
    positives = [codes == known.index(name) if name in known else codes < 0 for name in chosen]
    resampled = bootstrap.resample_scores(scores, positives, options.draws)
    measures: dict[str, Estimate] = {}
    curves: list[Curve] = []
    for name, positive, samples in zip(chosen, positives, resampled, strict=True):
        label = f"{label_side.upper()} {name}"
        measures[auc if is_flag else f"{auc}: {name}"] = _auc(scores, positive, samples, label)
        curves += calibration_curves(score_side, scores, positive, label, options)
    threshold = _threshold(options, scores) if is_flag else None
    if threshold is None:
        return _comparison(pair, presence, measures, calibration=tuple(curves))
    sides = (_names_of_sides(threshold), ["false", "true"])
    table = _cross_tabulate(scores >= threshold, positives[0])
    if swapped:
        sides, table = sides[::-1], table.T
    measures |= _measure_table(table, options.draws)
    confusion = _confusion(*sides, table)
    return _comparison(pair, presence, measures, threshold, confusion, tuple(curves))


_NO_POSTS = Estimate(value=None, reason="no post has a value in both")


def _comparison(
    pair: Pair,
    presence: Presence,
    measures: Mapping[str, Estimate],
    threshold: float | None = None,
    confusion: Confusion | None = None,
    calibration: tuple[Curve, ...] = (),
) -> Comparison:
    if presence.both == 1:  # all resamples of a single post are the same
        measures = {
            name: replace(
                estimate, interval=None, reason=estimate.reason or "one post gives no interval"
            )
            for name, estimate in measures.items()
        }
        calibration = ()
    return Comparison(
        a=pair.a.name,
        b=pair.b.name,
        kinds=pair.kinds,
        posts=presence.both,
        without_a=presence.without_a,
        without_b=presence.without_b,
        threshold=threshold,
        measures=dict(measures),
        confusion=confusion,
        calibration=calibration,
    )


def _measure_table(table: Array, draws: BootstrapDraws, reason: str = "") -> dict[str, Estimate]:
    samples = bootstrap.resample_table(table, TABLE_MEASURES, draws)
    on_diagonal = np.diagonal(table)
    has_one_value = np.count_nonzero(on_diagonal) == 1 and on_diagonal.sum() == table.sum()
    same = "A and B have the same single value in every post" if has_one_value else ""
    return {
        "agreement": _estimate(lambda: statistics.agreement(table), samples["agreement"], reason),
        "kappa": _estimate(lambda: statistics.kappa(table), samples["kappa"], reason or same),
        "alpha_nominal": _estimate(
            lambda: float(TABLE_MEASURES["alpha_nominal"](table)),
            samples["alpha_nominal"],
            reason or same,
        ),
    }


def _auc(scores: Array, positive: Flags, samples: Array, label: str) -> Estimate:
    reason = ""
    if not positive.any():
        reason = f"no post is {label}"
    elif positive.all():
        reason = f"every post is {label}"
    return _estimate(lambda: statistics.auc(positive, scores), samples, reason)


def _estimate(measure: Callable[[], float], samples: Array, reason: str = "") -> Estimate:
    """Return a measure and its interval.

    Args:
        measure: computes the value.
        samples: the values of all resamples.
        reason: why the measure is not defined; empty where it is, or where that is not known.
    """
    if reason:
        return Estimate(value=None, reason=reason)
    value = measure()
    if not math.isfinite(value):
        return Estimate(value=None, reason="the numbers are too small, too large or too similar")
    interval, reason = bootstrap.percentile_interval(samples)
    return Estimate(value=value, interval=interval, reason=reason)


def _cross_tabulate(a: Flags, b: Flags) -> Array:
    return np.bincount(2 * a + b, minlength=4).reshape(2, 2).astype(np.float64)


def _confusion(a: list[str], b: list[str], table: Array) -> Confusion:
    counts = tuple(tuple(map(int, row)) for row in table)
    return Confusion(a=tuple(a), b=tuple(b), counts=counts)


def _names_of_sides(threshold: float) -> list[str]:
    return [f"< {threshold:g}", f">= {threshold:g}"]
