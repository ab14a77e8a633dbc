"""Count posts by reason, by day of their label and by their own time, in one database."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

import duckdb

from hpc.html_report.facts import LabelCounts, Period, PeriodCount
from hpc.html_report.observe.labels_view import IS_EARLY, POST_TIME, VIEW, is_later
from hpc.html_report.observe.read_missing import count_missing, count_odd_times, missing_span
from pipeline.sql import fetch_number

MOST_PERIODS = 120
"""More would not fit beside each other."""
_DAYS_OF = {Period.DAY: 1.0, Period.WEEK: 7.0, Period.MONTH: 30.44, Period.YEAR: 365.25}
# Of what a service or another package wrote as a reason, only what looks like a name is shown: the
# rest might quote a post.
_REASON = re.compile(r"[A-Za-z0-9_.-]{1,60}")
OTHER_REASON = "(other)"
_MOST_REASONS = 30


def read_counts(
    connection: duckdb.DuckDBPyConnection, until: datetime, inputs: Sequence[str] = ()
) -> LabelCounts:
    """Return the counts of the rows in the view, and of the posts that have none yet.

    Args:
        connection: with the view.
        until: the time (UTC) up to which the view has times of posts.
        inputs: files of the posts that have none yet.
    """
    posts, labeled, later, early, first_label, last_label, first_post, last_post = (
        connection.execute(
            "SELECT count(*), count(*) FILTER (was_successfully_labeled), "
            f"count(*) FILTER ({is_later(until)}), count(*) FILTER ({IS_EARLY}), "
            "min(label_timestamp), "
            f"max(label_timestamp), min({POST_TIME}), max({POST_TIME}) FROM {VIEW}"
        ).fetchall()[0]
    )
    if not posts:
        return LabelCounts()
    missing_later, missing_early = count_odd_times(connection, inputs, until)
    first_missing, last_missing = missing_span(connection, inputs, until)
    period = choose_period(
        min(filter(None, (first_post, first_missing)), default=None),
        max(filter(None, (last_post, last_missing)), default=None),
    )
    periods = _with_missing(
        _by_period(connection, POST_TIME, period),
        count_missing(connection, inputs, period, until),
    )
    return LabelCounts(
        posts=posts,
        labeled=labeled,
        copied=_count_copied(connection),
        reasons=_reasons(connection),
        models=tuple(
            connection.execute(
                f"SELECT model, count(*) FROM {VIEW} WHERE was_successfully_labeled GROUP BY 1 "
                "ORDER BY 2 DESC, 1 LIMIT 20"
            ).fetchall()
        ),
        first_label=first_label,
        last_label=last_label,
        first_post=first_post,
        last_post=last_post,
        until=until,
        later_posts=later + missing_later,
        early_posts=early + missing_early,
        label_days=_by_period(connection, "label_timestamp", Period.DAY)[-MOST_PERIODS:],
        post_period=period,
        post_periods=periods[-MOST_PERIODS:],
        left_out_periods=max(0, len(periods) - MOST_PERIODS),
    )


def _with_missing(
    periods: Sequence[PeriodCount], missing: Mapping[date, int]
) -> tuple[PeriodCount, ...]:
    """Return the periods with the posts that have no row yet, also those of which none has one."""
    known = {each.start: each for each in periods}
    empty = {start: PeriodCount(start=start, labeled=0, unlabelable=0) for start in missing}
    return tuple(
        replace(each, missing=missing.get(start, 0))
        for start, each in sorted({**empty, **known}.items())
    )


def choose_period(first: date | None, last: date | None) -> Period:
    """Return the shortest period of which no more than MOST_PERIODS lie between two times."""
    if first is None or last is None:
        return Period.MONTH
    days = (last - first).days + 1
    return next(
        (period for period, length in _DAYS_OF.items() if days / length <= MOST_PERIODS),
        Period.YEAR,
    )


def count_posts_of_others(connection: duckdb.DuckDBPyConnection, runs: Sequence[str]) -> int:
    """Count the posts that other runs than these have labeled."""
    return fetch_number(
        connection, f"SELECT count(*) FROM {VIEW} WHERE NOT list_contains(?, run_id)", [list(runs)]
    )


def _count_copied(connection: duckdb.DuckDBPyConnection) -> int:
    """Return how many posts have the answer to another one; older tables do not say it."""
    columns = {row[0] for row in connection.execute(f"DESCRIBE {VIEW}").fetchall()}
    if "copied_from" not in columns:
        return 0
    return fetch_number(connection, f"SELECT count(*) FROM {VIEW} WHERE copied_from IS NOT NULL")


def _reasons(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[str, int], ...]:
    rows = connection.execute(
        f"SELECT regexp_extract(reason, '^[^:]*'), count(*) FROM {VIEW} "
        "WHERE NOT was_successfully_labeled GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    counts: dict[str, int] = {}
    for reason, count in rows:
        is_name = _REASON.fullmatch(reason or "") and len(counts) < _MOST_REASONS
        shown = reason if is_name else OTHER_REASON
        counts[shown] = counts.get(shown, 0) + count
    return tuple(counts.items())


def _by_period(
    connection: duckdb.DuckDBPyConnection, time: str, period: Period
) -> tuple[PeriodCount, ...]:
    rows = connection.execute(
        f"SELECT date_trunc('{period}', {time})::DATE AS start, "
        "count(*) FILTER (was_successfully_labeled), "
        f"count(*) FILTER (NOT was_successfully_labeled) FROM {VIEW} "
        f"WHERE {time} IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return tuple(
        PeriodCount(start=start, labeled=labeled, unlabelable=unlabelable)
        for start, labeled, unlabelable in rows
    )
