"""Stage the texts that human coders can be given, with the stratum of each.

A frame has each distinct text of a name's labeled posts once. It is remembered by the shards that
it was made from, so that it can be staged again when the name has more labels.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import duckdb

from pipeline.config.keys import Section
from pipeline.database.label_tables import labels_table
from pipeline.sql import literal, quoted

FRAME = "frame"
"""The staged table: `uri` of one of a text's posts, how many `posts` have it, and its `stratum`."""
POSTS = "frame_posts"
"""A view of the posts of all texts: the columns of the labels' table."""
ALL, MISSING = "all", "(missing)"
_SHARDS, _REPEATED = "frame_shards", "frame_repeated"
_NUMBERS = frozenset({"DOUBLE", "FLOAT", "BIGINT", "INTEGER", "UINTEGER", "HUGEINT"})


class RuleKind(StrEnum):
    """How texts are divided into strata."""

    NONE = "none"
    VALUES = "values"
    BINS = "bins"
    MONTH = "month"


class StratumRule(Section, frozen=True, kw_only=True):
    """How texts are divided into strata."""

    kind: RuleKind = RuleKind.NONE
    column: str = ""
    """The column of the labels whose values or bins are strata."""
    edges: tuple[float, ...] = ()
    """Where bins begin and end; a value on an edge belongs to the bin above it."""

    @property
    def bins(self) -> tuple[str, ...]:
        """Return the names of the bins, from the lowest."""
        return tuple(
            f"{low:.6g} to {high:.6g}"
            for low, high in zip(self.edges, self.edges[1:], strict=False)
        )

    @property
    def sql(self) -> str:
        """Return the expression for the stratum of a row of the labels."""
        if self.kind is RuleKind.MONTH:
            return "strftime(preprocessing_timestamp, '%Y-%m')"
        column = quoted(self.column)
        if self.kind is RuleKind.VALUES:
            return f"coalesce(CAST({column} AS VARCHAR), {literal(MISSING)})"
        if self.kind is RuleKind.BINS:
            value = f"CAST({column} AS DOUBLE)"
            above = "".join(
                f" WHEN {value} < {edge!r} THEN {literal(name)}"
                for edge, name in zip(self.edges[1:-1], self.bins, strict=False)
            )
            return (
                f"CASE WHEN {value} IS NULL OR isnan({value}) THEN {literal(MISSING)}{above} "
                f"ELSE {literal(self.bins[-1])} END"
            )
        return literal(ALL)


class ShardRange(Section, frozen=True, kw_only=True):
    """Shards of a run with consecutive indices."""

    run_id: str
    first: int
    last: int


def column_types(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> dict[str, str]:
    """Return the types of the columns of a name's labels."""
    rows = connection.execute(f"DESCRIBE {_table(name, catalog)}").fetchall()
    return {row[0]: row[1] for row in rows}


def is_number(kind: str) -> bool:
    """Tell whether a column of this type can be divided into bins."""
    return kind in _NUMBERS


def find_range(
    connection: duckdb.DuckDBPyConnection, name: str, catalog: str, column: str
) -> tuple[float, float] | None:
    """Return the smallest and the largest finite value of a column; None where it has none."""
    value = f"CAST({quoted(column)} AS DOUBLE)"
    rows = connection.execute(
        f"SELECT min({value}), max({value}) FROM {_table(name, catalog)} "
        f"WHERE was_successfully_labeled AND isfinite({value})"
    ).fetchall()
    least, most = rows[0]
    return None if least is None else (float(least), float(most))


def find_shards(
    connection: duckdb.DuckDBPyConnection, name: str, catalog: str
) -> tuple[ShardRange, ...]:
    """Return the shards that a name's labels are from."""
    rows = connection.execute(
        "SELECT run_id, min(shard_index), max(shard_index) FROM (SELECT run_id, shard_index, "
        "shard_index - row_number() OVER (PARTITION BY run_id ORDER BY shard_index) AS island "
        f"FROM (SELECT DISTINCT run_id, shard_index FROM {_table(name, catalog)})) "
        "GROUP BY run_id, island ORDER BY 1, 2"
    ).fetchall()
    return tuple(ShardRange(run_id=run, first=int(a), last=int(b)) for run, a, b in rows)


def stage_frame(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    catalog: str,
    rule: StratumRule,
    shards: Sequence[ShardRange] | None = None,
) -> None:
    """Create table FRAME and view POSTS from the labels of a name.

    Posts without labels or without text are left out. A post whose labels were copied stands for
    its text only where no other post does.

    Most texts have a single post. The others are found by the hashes of texts, and then by the
    texts themselves: to group all texts takes twice as long, and much more memory.

    Args:
        connection: the session, in which FRAME is created.
        name: of the labels.
        catalog: the alias of the attached database.
        rule: how texts are divided into strata.
        shards: the shards whose posts count; None for all.
    """
    place = _place_of(connection)
    chosen = ""
    if shards is not None:
        _stage_shards(connection, shards)
        chosen = f" SEMI JOIN {_SHARDS} USING (run_id, shard_index)"
    connection.execute(
        f"CREATE OR REPLACE TEMPORARY VIEW {POSTS} AS SELECT labels.* "
        f"FROM {_table(name, catalog)} AS labels{chosen} "
        "WHERE was_successfully_labeled AND length(trim(text)) > 0"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMPORARY TABLE {_REPEATED} AS SELECT hash(text) AS text_hash "
        f"FROM {POSTS} GROUP BY 1 HAVING count(*) > 1"
    )
    # Among the posts of a text, the one with the smallest key stands for it.
    copied = "copied_from" in column_types(connection, name, catalog)
    key = "if(copied_from IS NULL, '0', '1') || uri" if copied else "'0' || uri"
    connection.execute(
        f"CREATE OR REPLACE TABLE {place}.{FRAME} AS "
        f"SELECT uri, CAST(1 AS BIGINT) AS posts, {rule.sql} AS stratum FROM {POSTS} "
        f"WHERE hash(text) NOT IN (FROM {_REPEATED}) UNION ALL "
        "SELECT substr(min(key), 2), count(*), arg_min_null(stratum, key) FROM "
        f"(SELECT text, {key} AS key, {rule.sql} AS stratum FROM {POSTS} "
        f"WHERE hash(text) IN (FROM {_REPEATED})) GROUP BY text"
    )


def _stage_shards(connection: duckdb.DuckDBPyConnection, shards: Sequence[ShardRange]) -> None:
    connection.execute(
        f"CREATE OR REPLACE TEMPORARY TABLE {_SHARDS} (run_id VARCHAR, shard_index INTEGER)"
    )
    for each in shards:
        connection.execute(
            f"INSERT INTO {_SHARDS} SELECT ?, unnest(range(?, ?))",
            [each.run_id, each.first, each.last + 1],
        )


def count_strata(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, int]]:
    """Return how many texts and posts each stratum of the staged frame has, by its name."""
    rows = connection.execute(
        f"SELECT stratum, count(*), sum(posts) FROM {FRAME} GROUP BY ALL ORDER BY 1"
    ).fetchall()
    return {str(stratum): (int(texts), int(posts)) for stratum, texts, posts in rows}


def draw(
    connection: duckdb.DuckDBPyConnection, sizes: Mapping[str, int], seed: int
) -> list[tuple[str, str, int]]:
    """Return uri, stratum and number of posts of the texts that are drawn from the staged frame.

    A keyed hash of the uri decides, so that the order of the posts does not. With the same seed, a
    larger sample contains a smaller one.

    Args:
        connection: the session with FRAME.
        sizes: how many texts to draw from each stratum.
        seed: any number; another one draws other texts.
    """
    connection.execute(
        "CREATE OR REPLACE TEMPORARY TABLE frame_sizes (stratum VARCHAR, size BIGINT)"
    )
    connection.executemany("INSERT INTO frame_sizes VALUES (?, ?)", list(map(list, sizes.items())))
    return connection.execute(
        "SELECT uri, stratum, posts FROM (SELECT *, row_number() OVER (PARTITION BY stratum "
        f"ORDER BY sha256({literal(f'{seed} ')} || uri), uri) AS place FROM {FRAME}) "
        "JOIN frame_sizes USING (stratum) WHERE place <= size ORDER BY uri"
    ).fetchall()


def _table(name: str, catalog: str) -> str:
    return f"{quoted(catalog)}.{quoted(labels_table(name))}"


def _place_of(connection: duckdb.DuckDBPyConnection) -> str:
    rows = connection.execute("SELECT current_database()").fetchall()
    return f"{quoted(str(rows[0][0]))}.main"
