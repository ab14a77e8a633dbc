"""Find the texts that several of the staged posts have, so that each is asked about once.

A pass over hashes finds the candidates, which are few, and then the texts themselves decide: two
texts with one hash stay two. Only the candidates are grouped by text. To group all posts would
hold every text of the backlog in memory.
"""

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from pipeline.backlog.select import BacklogCounts, posts_to_label
from pipeline.backlog.shards import IS_COPY, ShardSizes
from pipeline.backlog.unsent import with_reasons
from pipeline.sql import raise_lack_of_space

TABLE = "repeated_texts"
COPY = (
    f"EXISTS (FROM {TABLE} AS repeated WHERE repeated.text = post.text AND first_uri <> post.uri)"
)
"""SQL: whether `post`, a post to send, gets the answer of another one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RepeatedTexts:
    """The texts that several posts to send have."""

    texts: int = 0
    posts: int = 0
    """The posts that have one of these texts."""
    largest: int = 0
    """The posts of the most frequent text."""
    asked_again: int = 0
    """How often a text is asked about again, because it has more posts than a shard holds."""

    @property
    def copied(self) -> int:
        """The posts that get the answer of another post."""
        return self.posts - self.texts - self.asked_again


NO_REPEATED_TEXTS = RepeatedTexts()


def find_repeated_texts(
    connection: duckdb.DuckDBPyConnection,
    counts: BacklogCounts,
    min_text_length: int,
    sizes: ShardSizes,
) -> RepeatedTexts:
    """Create table `repeated_texts` with each of these texts and its oldest post, and count them.

    How often a text is asked about again is an estimate: the shards decide it, `write_shards`.

    Args:
        connection: has the posts in table `staged`, see `select.stage_posts`.
        counts: says how many of them are to be labeled.
        min_text_length: the least number of characters of a text that is sent.
        sizes: how many posts each shard holds.

    Raises:
        OSError: the disk is full.
    """
    try:
        connection.execute(
            "CREATE OR REPLACE TEMPORARY TABLE repeated_hashes AS SELECT hash(text) AS text_hash "
            f"FROM {posts_to_label(counts)} GROUP BY text_hash HAVING count(*) > 1"
        )
        connection.execute(
            f"CREATE OR REPLACE TEMPORARY TABLE {TABLE} AS SELECT text, count(*) AS posts, "
            "min(preprocessing_timestamp) AS first_time, "
            "arg_min(uri, (preprocessing_timestamp, uri)) AS first_uri "
            f"FROM ({with_reasons(counts, min_text_length)}) "
            "SEMI JOIN repeated_hashes ON hash(text) = text_hash "
            "WHERE why IS NULL GROUP BY text HAVING count(*) > 1"
        )
        connection.execute("DROP TABLE repeated_hashes")
    except duckdb.Error as error:
        raise_lack_of_space(error, "planning")
        raise
    return count_repeated_texts(connection, sizes)


def count_repeated_texts(connection: duckdb.DuckDBPyConnection, sizes: ShardSizes) -> RepeatedTexts:
    """Count the rows of table `repeated_texts` for shards of these sizes.

    Args:
        connection: has the table, see `find_repeated_texts`.
        sizes: how many posts each shard holds.
    """
    rows = connection.execute(
        "SELECT count(*), sum(posts), max(posts), "
        f"sum((posts - 1) // {max(sizes.rows, 1)}) FROM {TABLE}"
    ).fetchall()
    texts, posts, largest, asked_again = (int(number or 0) for number in rows[0])
    return RepeatedTexts(texts=texts, posts=posts, largest=largest, asked_again=asked_again)


def copies_after_first(
    connection: duckdb.DuckDBPyConnection, counts: BacklogCounts, rows: int
) -> pa.RecordBatchReader:
    """Return the staged posts in SHARD_SCHEMA with IS_COPY, those with one text side by side.

    The texts come in the order of their oldest posts, and the posts of a text oldest first. A batch
    holds at most `rows` posts.

    Args:
        connection: has table `repeated_texts`, see `find_repeated_texts`.
        counts: says how many posts are to be labeled.
        rows: the most posts of a batch.
    """
    return connection.sql(
        "SELECT uri, post.text, preprocessing_timestamp, reason, "
        f"coalesce(first_uri <> uri, false) AS {IS_COPY} "
        f"FROM {posts_to_label(counts)} AS post LEFT JOIN {TABLE} AS repeated "
        "ON post.text = repeated.text AND post.reason IS NULL "
        "ORDER BY coalesce(first_time, preprocessing_timestamp), coalesce(first_uri, uri), "
        "preprocessing_timestamp, uri"
    ).to_arrow_reader(rows)
