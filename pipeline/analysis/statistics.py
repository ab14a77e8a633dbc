"""Call scipy and scikit-learn for the measures that they have.

They are an optional extra (`compare`) and take a second to import, so only a running `hpc compare`
imports this module. Each measure is called only where it is defined. Neither package has
Krippendorff's alpha, which is in `pipeline.analysis.agreement`.
"""

import warnings

import numpy as np
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, cohen_kappa_score, roc_auc_score

from pipeline.analysis.agreement import Array
from pipeline.analysis.bootstrap import Flags


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
