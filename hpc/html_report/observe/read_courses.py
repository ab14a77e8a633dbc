"""Measure how the mean of a number, or the share of a category, changes over time.

Intervals are those of a random sample with the weights of the posts (Hájek's estimator, by
linearization; for shares, Wilson's interval with the effective number of posts). Few posts do not
show how uncertain they are, so they get none.
"""

import math
from collections.abc import Iterator, Sequence

import duckdb

from hpc.html_report.facts import Course, CoursePoint, Period
from hpc.html_report.observe.labels_view import POST_TIME, VIEW, WEIGHT
from hpc.html_report.observe.read_counts import MOST_PERIODS
from pipeline.sql import quoted

LEAST_POSTS = 10
"""Of a mean or share with an interval."""
_Z = 1.959964  # of a 95 % interval
_W = quoted(WEIGHT)


def read_means(connection: duckdb.DuckDBPyConnection, value: str, period: Period) -> Course:
    """Return the mean of a number by period.

    Args:
        connection: with the view.
        value: the number, in SQL.
        period: the steps.
    """
    rows = connection.execute(
        f"SELECT date_trunc('{period}', {POST_TIME})::DATE, count(*), "
        f"sum({_W} * {value}) / sum({_W}), sum({_W}), sum({_W} * {_W}), "
        f"sum({_W} * {_W} * {value}), sum({_W} * {_W} * {value} * {value}) FROM {VIEW} "
        f"WHERE was_successfully_labeled AND {value} IS NOT NULL AND {_W} > 0 "
        f"AND {POST_TIME} IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    points = tuple(
        CoursePoint(
            start=start, posts=posts, value=mean, interval=interval_of_mean(posts, mean, sums)
        )
        for start, posts, mean, *sums in rows[-MOST_PERIODS:]
    )
    return Course(name="", points=points)


def interval_of_mean(posts: int, mean: float, sums: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of a weighted mean; None where there is none.

    Args:
        posts: how many posts it is of.
        mean: the weighted mean.
        sums: of the weights w, of w², of w² times the value, and of w² times the squared value.
    """
    total, squares, first, second = sums
    if posts < LEAST_POSTS or not all(map(math.isfinite, (*sums, mean))):
        return None
    variance = (second - 2 * mean * first + mean * mean * squares) / (total * total)
    reach = _Z * math.sqrt(max(variance, 0) * posts / (posts - 1))
    return mean - reach, mean + reach


def read_shares(
    connection: duckdb.DuckDBPyConnection, value: str, categories: Sequence[str], period: Period
) -> Iterator[Course]:
    """Yield the share of each category by period.

    Args:
        connection: with the view.
        value: the category, in SQL.
        categories: those that are measured.
        period: the steps.
    """
    rows = connection.execute(
        f"SELECT date_trunc('{period}', {POST_TIME})::DATE, count(*), sum({_W}), "
        f"sum({_W} * {_W})"
        + "".join(f", coalesce(sum({_W}) FILTER ({value} = ?), 0)" for _ in categories)
        + f" FROM {VIEW} WHERE was_successfully_labeled AND {value} IS NOT NULL AND {_W} > 0 "
        f"AND {POST_TIME} IS NOT NULL GROUP BY 1 ORDER BY 1",
        list(categories),
    ).fetchall()[-MOST_PERIODS:]
    for number, category in enumerate(categories):
        yield Course(
            name=category,
            points=tuple(
                CoursePoint(
                    start=start,
                    posts=posts,
                    value=weights[number] / total,
                    interval=interval_of_share(posts, weights[number] / total, total**2 / squares),
                )
                for start, posts, total, squares, *weights in rows
            ),
        )


def interval_of_share(posts: int, share: float, effective: float) -> tuple[float, float] | None:
    """Return Wilson's 95 % interval of a weighted share; None where there are few posts.

    Args:
        posts: how many posts it is of.
        share: the weighted share.
        effective: how many posts of equal weight tell as much (Kish).
    """
    if posts < LEAST_POSTS:
        return None
    square = _Z * _Z / effective
    middle = (share + square / 2) / (1 + square)
    reach = (
        _Z
        / (1 + square)
        * math.sqrt(max(share * (1 - share), 0) / effective + square / (4 * effective))
    )
    return max(0.0, middle - reach), min(1.0, middle + reach)
