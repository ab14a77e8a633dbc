"""Call scipy and scikit-learn for the measures that they have.

They are an optional extra (`compare`) and take a second to import, so only a running `hpc compare`
imports this module. Each measure is called only where it is defined. Neither package has
Krippendorff's alpha, which is in `pipeline.analysis.agreement`.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from pipeline.analysis.agreement import Array
from pipeline.analysis.bootstrap import Flags
from pipeline.analysis.results import CONFIDENCE


def pearson(a: Array, b: Array) -> float:
    """Return Pearson's correlation of two columns of numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return float(stats.pearsonr(a, b).statistic)


def spearman(a: Array, b: Array) -> float:
    """Return Spearman's rank correlation of two columns of numbers."""
    return float(stats.spearmanr(a, b).statistic)


def agreement(table: Array) -> float:
    """Return the share of posts in which A and B agree, from a table of counts."""
    rows, columns = np.nonzero(table)
    return float(accuracy_score(rows, columns, sample_weight=table[rows, columns]))


def kappa(table: Array) -> float:
    """Return Cohen's kappa of a table of counts."""
    rows, columns = np.nonzero(table)
    return float(cohen_kappa_score(rows, columns, sample_weight=table[rows, columns]))


def auc(positive: Flags, scores: Array) -> float:
    """Return the area under the ROC curve of scores for a label."""
    return float(roc_auc_score(positive, scores))


def calibration(positive: Flags, scores: Array, *, bins: int, strategy: str) -> tuple[Array, Array]:
    """Return the share of positive posts and the mean score for each bin that has posts."""
    shares, means = calibration_curve(
        positive.astype(int), scores, pos_label=1, n_bins=bins, strategy=strategy
    )
    return shares, means


def classification(table: Array, labels: Sequence[str], positive: int | None) -> dict[str, float]:
    """Return the measures of a weighted table of gold categories by predicted ones.

    Args:
        table: gold as rows, predicted as columns.
        labels: the categories.
        positive: the category that precision and recall are about; None for each of them.
    """
    gold, predicted = np.nonzero(table)
    weights = table[gold, predicted]
    with warnings.catch_warnings():
        # A measure that is not defined is left out by the caller.
        warnings.simplefilter("ignore")
        precision, recall, f1, _ = precision_recall_fscore_support(
            gold, predicted, labels=range(len(labels)), sample_weight=weights, zero_division=0.0
        )
        measures = {
            "accuracy": float(accuracy_score(gold, predicted, sample_weight=weights)),
            "balanced_accuracy": float(
                balanced_accuracy_score(gold, predicted, sample_weight=weights)
            ),
        }
        if positive is None:
            macro = f1_score(gold, predicted, average="macro", sample_weight=weights)
            measures["macro_f1"] = float(macro)
    for category in range(len(labels)) if positive is None else [positive]:
        suffix = f": {labels[category]}" if positive is None else ""
        measures[f"precision{suffix}"] = float(precision[category])
        measures[f"recall{suffix}"] = float(recall[category])
        measures[f"f1{suffix}"] = float(f1[category])
    return measures


def t_quantile(freedom: int) -> float:
    """Return how many standard errors an interval of CONFIDENCE reaches to either side."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def isotonic(scores: Array, values: Array, weights: Array) -> tuple[Array, Array]:
    """Return the points of the line that never descends and is closest to weighted values.

    Args:
        scores: ascending.
        values: for each score.
        weights: of each value.
    """
    fitted = IsotonicRegression().fit(scores, values, sample_weight=weights)
    return fitted.X_thresholds_, fitted.y_thresholds_
