"""Compute how well a classifier finds the gold categories, from weighted tables. Pure.

Tables have gold categories as rows and the classifier's as columns, and may be a stack with the
resamples as leading axes. Results have the same axes, and are NaN where a measure is not defined.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.agreement import Array, observed_agreement, ratio

Measure = Callable[[Array], Array]


def precision(tables: Array, category: int) -> Array:
    """Return which share of the posts that the classifier puts into a category belong there."""
    return ratio(tables[..., category, category], tables[..., category].sum(axis=-1))


def recall(tables: Array, category: int) -> Array:
    """Return which share of the posts of a category the classifier puts there."""
    return ratio(tables[..., category, category], tables[..., category, :].sum(axis=-1))


def f1(tables: Array, category: int) -> Array:
    """Return the harmonic mean of precision and recall; 0 where no post is right."""
    found = tables[..., category].sum(axis=-1) + tables[..., category, :].sum(axis=-1)
    return ratio(2 * tables[..., category, category], found)


def balanced_accuracy(tables: Array, categories: Sequence[int]) -> Array:
    """Return the mean recall of the categories that gold has."""
    return np.asarray(np.mean([recall(tables, category) for category in categories], axis=0))


def macro_f1(tables: Array, categories: Sequence[int]) -> Array:
    """Return the mean F1 of the categories that gold or the classifier has."""
    return np.asarray(np.mean([f1(tables, category) for category in categories], axis=0))


def measures_of(table: Array, labels: Sequence[str], positive: int | None) -> dict[str, Measure]:
    """Return the measures for a table and its resamples, by name.

    Args:
        table: the table of the coded posts, which tells the categories that there are.
        labels: the categories.
        positive: the category that is searched for; None where all categories count alike.
    """
    in_gold = np.flatnonzero(table.sum(axis=1)).tolist()
    seen = np.flatnonzero(table.sum(axis=0) + table.sum(axis=1)).tolist()
    measures: dict[str, Measure] = {
        "accuracy": observed_agreement,
        "balanced_accuracy": lambda tables: balanced_accuracy(tables, in_gold),
    }
    if positive is None:
        measures["macro_f1"] = lambda tables: macro_f1(tables, seen)
    for category in range(len(labels)) if positive is None else [positive]:
        suffix = f": {labels[category]}" if positive is None else ""
        for name, measure in (("precision", precision), ("recall", recall), ("f1", f1)):
            measures[f"{name}{suffix}"] = _of_category(measure, category)
    return measures


def _of_category(measure: Callable[[Array, int], Array], category: int) -> Measure:
    return lambda tables: measure(tables, category)


def why_undefined(table: Array, labels: Sequence[str], positive: int | None) -> dict[str, str]:
    """Return the measures that are not defined for a table, with the reason."""
    reasons: dict[str, str] = {}
    gold, model = table.sum(axis=1), table.sum(axis=0)
    if np.count_nonzero(gold) == 1:
        only = labels[int(np.argmax(gold))]
        reasons["balanced_accuracy"] = f"every coded post is {only}"
    for category in range(len(labels)) if positive is None else [positive]:
        label = labels[category]
        suffix = f": {label}" if positive is None else ""
        if not model[category]:
            reasons[f"precision{suffix}"] = f"no coded post is predicted {label}"
        if not gold[category]:
            reasons[f"recall{suffix}"] = f"no coded post is {label}"
        if not gold[category] and not model[category]:
            reasons[f"f1{suffix}"] = f"no coded post is {label} or predicted so"
    return reasons


def differences(category: int, size: int) -> NDArray[np.float64]:
    """Return, for each place of a table, 1 gold of a category minus 1 predicted: (size, size)."""
    plan = np.zeros((size, size))
    plan[category, :] += 1
    plan[:, category] -= 1
    return plan
