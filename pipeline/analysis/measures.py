"""Two columns compared: their kinds decide the measures, and each has its interval.

Estimates are scipy's and scikit-learn's; intervals are resampled by formulas
(`pipeline.analysis.agreement`) that the tests hold against theirs.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipeline.analysis import agreement, bootstrap, statistics
from pipeline.analysis.agreement import Array
from pipeline.analysis.bootstrap import BootstrapDraws, Flags
from pipeline.analysis.calibration import are_shares, curve
from pipeline.analysis.overlap import NUMBERS, Overlap, Pair, Presence
from pipeline.analysis.results import Comparison, Confusion, Curve, Estimate, NotCompared

# More different texts than that are no categories, but a model's own words.
MOST_CATEGORIES = 50
USUAL_THRESHOLD = 0.5

TABLE_MEASURES: dict[str, Callable[[Array], Array]] = {
    "agreement": agreement.observed,
    "kappa": agreement.kappa,
    "alpha_nominal": lambda tables: agreement.alpha(
        agreement.coincidences(tables), agreement.nominal(tables.shape[-1])
    ),
}
NUMBER_MEASURES = ("pearson", "spearman", "mean_difference", "alpha_interval")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareOptions:
    """`threshold` None: 0.5, where all numbers are between 0 and 1. `bins`: uniform, or quantile
    for bins of as many posts."""

    threshold: float | None = None
    bins: str = "uniform"
    draws: BootstrapDraws

    def cut(self, *columns: Array) -> float | None:
        if self.threshold is not None:
            return self.threshold
        return USUAL_THRESHOLD if all(map(are_shares, columns)) else None


def compare_labels(overlap: Overlap, at: int, options: CompareOptions) -> Comparison | NotCompared:
    """The pair of columns at this place."""
    with np.errstate(all="ignore"):  # what overflows or is 0 / 0 has no value, and says so
        return _compare(overlap, at, options)


def _compare(overlap: Overlap, at: int, options: CompareOptions) -> Comparison | NotCompared:
    pair, there = overlap.pairs[at], overlap.presence(at)
    categories: dict[str, list[str]] = {}
    for side, column in (("a", pair.a), ("b", pair.b)):
        if column.kind not in NUMBERS:
            categories[side] = overlap.categories(at, side)
            if (count := len(categories[side])) > MOST_CATEGORIES:
                reason = f"{side.upper()}'s has {count:,} different values: free text"
                return NotCompared(pair.a.name, pair.b.name, reason)
    if len(categories) == 2:
        return _categories(pair, there, overlap.crossed(at), options.draws)
    arrays = overlap.arrays(at, categories)
    if categories:
        return _scores(pair, there, arrays, categories, options)
    return _numbers(pair, there, *arrays, options)


def _numbers(
    pair: Pair, there: Presence, a: Array, b: Array, options: CompareOptions
) -> Comparison:
    if not there.both:
        return _comparison(pair, there, dict.fromkeys(NUMBER_MEASURES, _NO_POSTS))
    cut = options.cut(a, b)
    calls = None if cut is None else (a >= cut, b >= cut)
    drawn = bootstrap.of_numbers(a, b, calls, options.draws)
    constant = " and ".join(name for name, values in (("A", a), ("B", b)) if np.ptp(values) == 0)
    constant = f"{constant}: the same number in every post" if constant else ""
    same = "all numbers are the same" if np.ptp(a) == np.ptp(b) == a[0] - b[0] == 0 else ""
    found = {
        "pearson": _estimate(lambda: statistics.pearson(a, b), drawn["pearson"], constant),
        "spearman": _estimate(lambda: statistics.spearman(a, b), drawn["spearman"], constant),
        "mean_difference": _estimate(lambda: float(np.mean(a - b)), drawn["mean_difference"]),
        "alpha_interval": _estimate(
            lambda: float(agreement.alpha_of_numbers(a, b)), drawn["alpha_interval"], same
        ),
    }
    if cut is None or calls is None:
        return _comparison(pair, there, found)
    names = _sides_of(cut)
    table = _crossed(*calls)
    found |= _of_table(table, options.draws)
    found["auc_a_for_b"] = _auc(a, calls[1], drawn["auc_a_for_b"], f"B {names[1]}")
    found["auc_b_for_a"] = _auc(b, calls[0], drawn["auc_b_for_a"], f"A {names[1]}")
    curves = (
        *curve("a", a, calls[1], f"B {names[1]}", options.bins, options.draws),
        *curve("b", b, calls[0], f"A {names[1]}", options.bins, options.draws),
    )
    return _comparison(pair, there, found, cut, _confusion(names, names, table), curves)


def _categories(
    pair: Pair, there: Presence, rows: list[tuple[str, str, int]], draws: BootstrapDraws
) -> Comparison:
    if not rows:
        return _comparison(pair, there, dict.fromkeys(TABLE_MEASURES, _NO_POSTS))
    names = sorted({name for a, b, _ in rows for name in (a, b)})
    table = np.zeros((len(names), len(names)))
    for a, b, count in rows:
        table[names.index(a), names.index(b)] = count
    shared = {a for a, _, _ in rows} & {b for _, b, _ in rows}
    found = _of_table(table, draws, "" if shared else "A and B have no category in common")
    return _comparison(pair, there, found, confusion=_confusion(names, names, table))


def _scores(
    pair: Pair,
    there: Presence,
    arrays: tuple[Array, Array],
    categories: Mapping[str, list[str]],
    options: CompareOptions,
) -> Comparison:
    """Numbers on one side, categories on the other: each of these in turn is the positive one; of
    false and true only true, which a score at the threshold may agree with."""
    swapped = "a" in categories
    score_side, label_side = ("b", "a") if swapped else ("a", "b")
    auc = f"auc_{score_side}_for_{label_side}"
    if not there.both:
        return _comparison(pair, there, {auc: _NO_POSTS})
    scores, codes = arrays[::-1] if swapped else arrays
    known = categories[label_side]
    is_flag = pair.kinds["ab".index(label_side)] == "flag"
    chosen = ["true"] if is_flag else known
    positives = [codes == known.index(name) if name in known else codes < 0 for name in chosen]
    drawn = bootstrap.of_scores(scores, positives, options.draws)
    found: dict[str, Estimate] = {}
    curves: list[Curve] = []
    for name, positive, samples in zip(chosen, positives, drawn, strict=True):
        label = f"{label_side.upper()} {name}"
        found[auc if is_flag else f"{auc}: {name}"] = _auc(scores, positive, samples, label)
        curves += curve(score_side, scores, positive, label, options.bins, options.draws)
    cut = options.cut(scores) if is_flag else None
    if cut is None:
        return _comparison(pair, there, found, calibration=tuple(curves))
    sides, table = (_sides_of(cut), ["false", "true"]), _crossed(scores >= cut, positives[0])
    if swapped:
        sides, table = sides[::-1], table.T
    found |= _of_table(table, options.draws)
    return _comparison(pair, there, found, cut, _confusion(*sides, table), tuple(curves))


_NO_POSTS = Estimate(value=None, reason="no post has a value in both")


def _comparison(
    pair: Pair,
    there: Presence,
    measures: Mapping[str, Estimate],
    threshold: float | None = None,
    confusion: Confusion | None = None,
    calibration: tuple[Curve, ...] = (),
) -> Comparison:
    if there.both == 1:  # drawn a thousand times, it says that it is sure
        measures = {
            name: replace(one, interval=None, reason=one.reason or "one post has no interval")
            for name, one in measures.items()
        }
        calibration = ()
    return Comparison(
        a=pair.a.name,
        b=pair.b.name,
        kinds=pair.kinds,
        posts=there.both,
        without_a=there.without_a,
        without_b=there.without_b,
        threshold=threshold,
        measures=dict(measures),
        confusion=confusion,
        calibration=calibration,
    )


def _of_table(table: Array, draws: BootstrapDraws, reason: str = "") -> dict[str, Estimate]:
    drawn = bootstrap.of_table(table, TABLE_MEASURES, draws)
    constant = np.trace(table) == table.max() == table.sum()
    same = "A and B have one and the same value in every post" if constant else ""
    return {
        "agreement": _estimate(lambda: statistics.agreement(table), drawn["agreement"], reason),
        "kappa": _estimate(lambda: statistics.kappa(table), drawn["kappa"], reason or same),
        "alpha_nominal": _estimate(
            lambda: float(TABLE_MEASURES["alpha_nominal"](table)),
            drawn["alpha_nominal"],
            reason or same,
        ),
    }


def _auc(scores: Array, positive: Flags, samples: Array, label: str) -> Estimate:
    constant = {0: f"no post is {label}", positive.size: f"every post is {label}"}
    reason = constant.get(int(positive.sum()), "")
    return _estimate(lambda: statistics.auc(positive, scores), samples, reason)


def _estimate(measure: Callable[[], float], samples: Array, reason: str = "") -> Estimate:
    """`reason`: why the measure is not defined, where that is known."""
    if reason:
        return Estimate(value=None, reason=reason)
    value = measure()
    if not math.isfinite(value):
        return Estimate(value=None, reason="the numbers are too small, too large or too alike")
    interval, reason = bootstrap.interval(samples)
    return Estimate(value=value, interval=interval, reason=reason)


def _crossed(a: Flags, b: Flags) -> Array:
    return np.bincount(2 * a + b, minlength=4).reshape(2, 2).astype(np.float64)


def _confusion(a: list[str], b: list[str], table: Array) -> Confusion:
    counts = tuple(tuple(map(int, row)) for row in table)
    return Confusion(a=tuple(a), b=tuple(b), counts=counts)


def _sides_of(cut: float) -> list[str]:
    return [f"< {cut:g}", f">= {cut:g}"]
