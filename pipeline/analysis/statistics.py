"""The door to scipy and scikit-learn: the measures that they have. They are an extra (`compare`)
and take a second to import, so only `hpc.compare` asks for them, when it runs.

All are asked only where they are defined. Krippendorff's alpha is in neither:
`pipeline.analysis.agreement`.
"""

import warnings

import numpy as np
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, cohen_kappa_score, roc_auc_score

from pipeline.analysis.agreement import Array
from pipeline.analysis.bootstrap import Flags


def pearson(a: Array, b: Array) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return float(stats.pearsonr(a, b).statistic)


def spearman(a: Array, b: Array) -> float:
    return float(stats.spearmanr(a, b).statistic)


def agreement(table: Array) -> float:
    """The accuracy of either for the other, of a table of counts."""
    rows, columns = np.nonzero(table)
    return float(accuracy_score(rows, columns, sample_weight=table[rows, columns]))


def kappa(table: Array) -> float:
    rows, columns = np.nonzero(table)
    return float(cohen_kappa_score(rows, columns, sample_weight=table[rows, columns]))


def auc(positive: Flags, scores: Array) -> float:
    return float(roc_auc_score(positive, scores))


def calibration(positive: Flags, scores: Array, *, bins: int, strategy: str) -> tuple[Array, Array]:
    """The share of positive ones and the mean score, by bin of scores that has posts."""
    shares, means = calibration_curve(
        positive.astype(int), scores, pos_label=1, n_bins=bins, strategy=strategy
    )
    return shares, means
