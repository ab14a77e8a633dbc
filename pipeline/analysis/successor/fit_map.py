"""Fit the monotone map that puts a successor's scores on the scale of what it replaces."""

from pipeline.analysis import statistics
from pipeline.analysis.overlap import NUMBERS, Overlap
from pipeline.analysis.results import NotCompared
from pipeline.analysis.successor.read_scores import read_scores
from pipeline.analysis.successor.score_groups import thin_knots
from pipeline.run_files.score_map import ColumnMap

# With fewer posts, a map would follow their noise.
FEWEST_POSTS = 100
# The view has a comparison for each knot. 200 follow the fitted line closely.
MOST_KNOTS = 200


def fit_map(overlap: Overlap, number: int) -> ColumnMap | NotCompared:
    """Return the isotonic regression of A's score on B's, or why there is none.

    It is weighted, never descends, and is linear between its knots. With it, B's scores have the
    mean of A's in the posts that both labeled.
    """
    pair = overlap.pairs[number]
    if not set(pair.kinds) <= set(NUMBERS):
        return NotCompared(pair.a.name, pair.b.name, "only numbers can be mapped")
    groups = read_scores(overlap, number)
    if groups.posts < FEWEST_POSTS:
        reason = f"a map needs at least {FEWEST_POSTS} posts with both values, not {groups.posts}"
        return NotCompared(pair.a.name, pair.b.name, reason)
    if groups.scores.size < 2:
        return NotCompared(pair.a.name, pair.b.name, "all scores of B are the same")
    scores, values = statistics.isotonic(groups.scores, groups.means, groups.weights)
    return ColumnMap(
        a=pair.a.name,
        b=pair.b.name,
        posts=groups.posts,
        knots=tuple(thin_knots(scores, values, MOST_KNOTS)),
    )
