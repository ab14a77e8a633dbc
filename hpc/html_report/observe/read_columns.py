"""Measure the label columns: how their values are distributed, and how they change over time."""

import math
from collections.abc import Collection

import duckdb

from hpc.comparison.columns import NOT_LABELS
from hpc.html_report.facts import (
    Category,
    CategoryColumn,
    HiddenColumn,
    LabelColumn,
    NumberColumn,
    Period,
)
from hpc.html_report.observe.labels_view import VIEW, WEIGHT
from hpc.html_report.observe.read_courses import read_means, read_shares
from pipeline.analysis.overlap import NUMBERS, column_kinds
from pipeline.model import ColumnKind
from pipeline.sql import quoted

MOST_CATEGORIES = 12
MOST_COURSES = 5
_MOST_VALUES, _LONGEST_VALUE = 100, 80
# A value that a model copied out of its post, and not a category.
_LONGEST_SHARED = 16
_BINS = 20
_LARGEST = 1e100
"""The squares of larger numbers may not be numbers."""
_TOO_LARGE = "its numbers are too large to average"
_W = quoted(WEIGHT)
_MANY_VALUES = "its values are too many or too long to be categories"
_QUOTES = "its values repeat what is in the posts"
_FREE_TEXT = "it is free text, which may quote posts"


def read_columns(
    connection: duckdb.DuckDBPyConnection, period: Period, free_texts: Collection[str]
) -> tuple[LabelColumn, ...]:
    """Return the label columns of the view.

    Args:
        connection: with the view.
        period: the steps of the courses over time.
        free_texts: columns whose values may be any text.
    """
    rows = connection.execute(f"DESCRIBE {VIEW}").fetchall()
    kinds = column_kinds([(row[0], row[1]) for row in rows if row[0] != WEIGHT])
    return tuple(
        _read(connection, name, kind, period, is_free=name in free_texts)
        for name, kind in kinds.items()
        if name not in NOT_LABELS
    )


def _read(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    kind: ColumnKind,
    period: Period,
    *,
    is_free: bool,
) -> LabelColumn:
    column = quoted(name)
    value = f"CASE WHEN isfinite({column}::DOUBLE) THEN {column}::DOUBLE END"
    if kind not in NUMBERS:
        value = f"{column}::VARCHAR"
    posts, missing = connection.execute(
        f"SELECT count({value}), count(*) - count({value}) FROM {VIEW} "
        f"WHERE was_successfully_labeled AND {_W} IS NOT NULL"
    ).fetchall()[0]
    if not posts:
        return HiddenColumn(name=name, posts=0, missing=missing, reason="no post has a value")
    if kind in NUMBERS:
        return _read_numbers(connection, name, value, posts, missing, period)
    problem = _FREE_TEXT if is_free else ""
    if kind is ColumnKind.TEXT and not problem:
        problem = _why_no_categories(connection, value)
    if problem:
        return HiddenColumn(name=name, posts=posts, missing=missing, reason=problem)
    return _read_categories(connection, name, value, posts, missing, period)


def _read_numbers(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    value: str,
    posts: int,
    missing: int,
    period: Period,
) -> LabelColumn:
    where = f"FROM {VIEW} WHERE was_successfully_labeled AND {value} IS NOT NULL AND {_W} > 0"
    largest = connection.execute(f"SELECT max(abs({value})) {where}").fetchall()[0][0]
    if largest > _LARGEST:
        return HiddenColumn(name=name, posts=posts, missing=missing, reason=_TOO_LARGE)
    mean, deviation, quantiles, is_whole = connection.execute(
        f"SELECT sum({_W} * {value}) / sum({_W}), stddev_samp({value}), "
        f"quantile_cont({value}, [0, 0.25, 0.5, 0.75, 1]), bool_and({value} = round({value})) "
        f"{where}"
    ).fetchall()[0]
    edges = choose_edges(quantiles[0], quantiles[-1], is_whole=is_whole)
    width = edges[1] - edges[0]
    counts = dict(
        connection.execute(
            f"SELECT least(floor(({value} - ?) / ?), ?)::INTEGER, sum({_W}) {where} GROUP BY 1",
            [edges[0], width, len(edges) - 2],
        ).fetchall()
    )
    return NumberColumn(
        name=name,
        posts=posts,
        missing=missing,
        mean=mean,
        deviation=deviation if deviation is not None and math.isfinite(deviation) else None,
        quantiles=tuple(quantiles),
        edges=edges,
        counts=tuple(float(counts.get(number, 0)) for number in range(len(edges) - 1)),
        course=read_means(connection, value, period),
    )


def choose_edges(low: float, high: float, *, is_whole: bool) -> tuple[float, ...]:
    """Return edges of bins of the same width that hold all numbers from `low` to `high`.

    Scores between 0 and 1, or between -1 and 1, get the edges of the whole scale, and few whole
    numbers a bin each.
    """
    if is_whole and high - low < _BINS and abs(low) < 2**50 and abs(high) < 2**50:
        return tuple(low - 0.5 + step for step in range(int(high - low) + 2))
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= -1 and high <= 1:
        low, high = -1.0, 1.0
    elif low + (high - low) / _BINS == low:
        # All are the same, as far as numbers of this size can differ.
        low, high = low - abs(low) / 2 - 1, high + abs(high) / 2 + 1
    step = (high - low) / _BINS
    return tuple(low + step * number for number in range(_BINS + 1))


def _why_no_categories(connection: duckdb.DuckDBPyConnection, value: str) -> str:
    """Return why the values of a column of text are not shown; empty if they are categories."""
    where = f"FROM {VIEW} WHERE was_successfully_labeled AND {value} IS NOT NULL"
    distinct, longest, starts = connection.execute(
        f"SELECT approx_count_distinct({value}), max(length({value})), "
        f"bool_or(left({value}, 1) IN ('{{', '[')) {where}"
    ).fetchall()[0]
    if distinct > _MOST_VALUES or longest > _LONGEST_VALUE or starts:
        return _MANY_VALUES
    quotes = connection.execute(
        f"SELECT 1 {where} AND length({value}) >= ? AND contains(text, {value}) LIMIT 1",
        [_LONGEST_SHARED],
    ).fetchall()
    return _QUOTES if quotes else ""


def _read_categories(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    value: str,
    posts: int,
    missing: int,
    period: Period,
) -> CategoryColumn:
    rows = connection.execute(
        f"SELECT {value}, count(*), sum({_W}) / sum(sum({_W})) OVER () FROM {VIEW} "
        f"WHERE was_successfully_labeled AND {value} IS NOT NULL AND {_W} > 0 "
        "GROUP BY 1 ORDER BY 3 DESC, 1"
    ).fetchall()
    shown = rows[:MOST_CATEGORIES]
    courses = [row[0] for row in shown[:MOST_COURSES]]
    if set(courses) <= {"true", "false"}:
        courses = ["true"]
    rest = rows[MOST_CATEGORIES:]
    categories = [Category(value=text, posts=count, share=share) for text, count, share in shown]
    if rest:
        categories.append(
            Category(
                value=f"({len(rest)} others)",
                posts=sum(row[1] for row in rest),
                share=sum(row[2] for row in rest),
            )
        )
    return CategoryColumn(
        name=name,
        posts=posts,
        missing=missing,
        categories=tuple(categories),
        courses=tuple(read_shares(connection, value, courses, period)),
    )
