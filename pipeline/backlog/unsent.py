"""Find out which of the staged posts will not be sent, and why."""

from dataclasses import dataclass

import duckdb

from pipeline.backlog.select import BacklogCounts, posts_to_label
from pipeline.model import TOO_SHORT, UNSENT, Post
from pipeline.short_text import BLANK
from pipeline.sql import literal

_BLANK_OR_NONE = f"IN ('', {', '.join(map(literal, BLANK))})"


@dataclass(frozen=True, kw_only=True, slots=True)
class UnsentPosts:
    """The posts of a run that are not sent for one reason; their rows say it."""

    reason: str
    """One of UNSENT."""
    posts: int
    uri: str
    """The oldest of them."""


def find_unsent(
    connection: duckdb.DuckDBPyConnection, counts: BacklogCounts, min_text_length: int
) -> tuple[UnsentPosts, ...]:
    """Return the posts to label that will not be sent, by reason.

    Args:
        connection: has the posts in table `staged`, see `select.stage_posts`.
        counts: says how many of them are to be labeled.
        min_text_length: the least number of characters of a text that is sent.
    """
    rows = connection.execute(
        f"SELECT why, count(*), arg_min(uri, (preprocessing_timestamp, uri)) "
        f"FROM ({with_reasons(counts, min_text_length)}) WHERE why IS NOT NULL GROUP BY why"
    ).fetchall()
    return tuple(
        UnsentPosts(reason=reason, posts=posts, uri=uri)
        for reason, posts, uri in sorted(rows, key=lambda row: UNSENT.index(row[0]))
    )


def give_reasons(connection: duckdb.DuckDBPyConnection, min_text_length: int) -> None:
    """Give the staged posts with too short a text their reason, where no task will."""
    connection.execute(
        f"UPDATE staged SET reason = {literal(TOO_SHORT)} "
        f"WHERE reason IS NULL AND {too_short_sql(min_text_length)}"
    )


def first_to_send(
    connection: duckdb.DuckDBPyConnection,
    counts: BacklogCounts,
    min_text_length: int,
    *,
    most: int = 1,
    but: str | None = None,
) -> tuple[Post, ...]:
    """Return the oldest posts that will be sent, at most this many. See `find_unsent`.

    Args:
        connection: has the posts in table `staged`.
        counts: says how many of them are to be labeled.
        min_text_length: the least number of characters of a text that is sent.
        most: how many posts to return.
        but: SQL, a condition on posts to leave out, which are named `post`.
    """
    left_out = f" AND NOT {but}" if but else ""
    rows = connection.execute(
        f"SELECT uri, text FROM ({with_reasons(counts, min_text_length)}) AS post "
        f"WHERE why IS NULL{left_out} "
        f"ORDER BY preprocessing_timestamp, uri LIMIT {most}"
    ).fetchall()
    return tuple(Post(uri, text) for uri, text in rows)


def with_reasons(counts: BacklogCounts, min_text_length: int) -> str:
    """Return SQL that yields the posts to label with `why`: the reason of those that stay here."""
    too_short = too_short_sql(min_text_length)
    return (
        f"SELECT *, coalesce(reason, CASE WHEN {too_short} THEN {literal(TOO_SHORT)} END) AS why "
        f"FROM {posts_to_label(counts)}"
    )


def too_short_sql(min_length: int) -> str:
    """Return the SQL of `short_text.is_too_short` for column `text`.

    Most texts have visible characters at their start and where the shortest text would end, and so
    need no look at the rest: trimming all texts takes ten times as long.
    """
    if min_length <= 0:
        return "false"
    return (
        f"CASE WHEN text[1] NOT {_BLANK_OR_NONE} AND (text[{min_length}] NOT {_BLANK_OR_NONE} "
        f"OR text[{min_length + 1}] NOT {_BLANK_OR_NONE}) THEN false "
        f"ELSE length(trim(text, {literal(BLANK)})) < {min_length} END"
    )
