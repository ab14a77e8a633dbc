"""Hold the scores of a successor beside the labels that it replaces, as groups of equal scores.

Pure.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.analysis.agreement import Array
from pipeline.analysis.results import MatchedThreshold


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScoreGroups:
    """Posts that both labeled, by B's score. Arrays of the same length, with scores ascending."""

    scores: Array
    """B's score. With very many different scores, the lowest of some that are close."""
    weights: Array
    """The weight of the posts with that score."""
    means: Array
    """Their weighted mean score in A; NaN where A has no numbers."""
    positive: Array
    """Which weighted share of them A calls positive; NaN where that is not known."""
    posts: int
    """How many posts these are."""


def match_threshold(groups: ScoreGroups) -> MatchedThreshold:
    """Return the score of B from which on the share of posts is closest to A's positives.

    In a tie it is the higher score.
    """
    total = groups.weights.sum()
    wanted = float((groups.weights * groups.positive).sum() / total)
    # From each score on, and above all of them.
    shares = np.append(np.cumsum(groups.weights[::-1])[::-1] / total, 0.0)
    distance = np.abs(shares - wanted)
    best = int(np.flatnonzero(distance == distance.min())[-1])
    return MatchedThreshold(
        threshold=None if best == groups.scores.size else float(groups.scores[best]),
        wanted=wanted,
        reached=float(shares[best]),
        posts=groups.posts,
    )


def thin_knots(scores: Array, values: Array, most: int) -> list[tuple[float, float]]:
    """Return at most this many of the points of a line: those from which it deviates the most.

    Args:
        scores: ascending.
        values: of the line at these scores.
        most: how many points to keep, 2 or more.
    """
    kept = [0, scores.size - 1] if scores.size > 1 else [0]
    while len(kept) < min(most, scores.size):
        line = np.interp(scores, scores[kept], values[kept])
        away = np.abs(values - line)
        worst = int(np.argmax(away))
        if not away[worst]:
            break
        kept = sorted({*kept, worst})
    return [(float(scores[place]), float(values[place])) for place in kept]
