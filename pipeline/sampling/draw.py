"""Draw posts at random, by a hash of their uris: the same seed draws the same posts anywhere.

The posts of a stratum are drawn in the order of SHA-256 over `<seed>:<uri>`. So a post's chance
does not depend on its place in the source or on the other posts, anybody can repeat the draw, and a
larger sample with the same seed contains the smaller one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from pipeline.backlog.sources import Source
from pipeline.database.source_columns import stage_source_columns
from pipeline.errors import InputError
from pipeline.messages.options import DRAW_SIZE, SAMPLE, STRATIFY
from pipeline.run_files.sample_file import ALL, MISSING, SCHEMA, Stratum
from pipeline.sampling.allocate import Allocation, allocate
from pipeline.sql import clean_up_with, fetch_number, literal
from pipeline.text import counted

MONTH = "month"
DRAWN = "drawn"
"""The table of the drawn posts, which `draw` creates."""

_HASH_VALUES = 2**64
# How many standard deviations a stratum has more candidates than posts to draw. Among that many,
# the posts to draw are missing once in 10**15 strata; then all posts are ranked.
MARGIN = 8.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawRequest:
    """Which sample to draw."""

    size: int
    seed: int
    stratify: str | None = None
    """MONTH, a column of the source, or None for no strata."""
    allocation: Allocation = Allocation.PROPORTIONAL


def draw(
    connection: duckdb.DuckDBPyConnection, source: Source, request: DrawRequest, population: str
) -> tuple[Stratum, ...]:
    """Create table DRAWN with `uri`, `stratum` and `inclusion_probability`; return the strata.

    Args:
        connection: a staging database.
        source: the backlog, for the column of the strata.
        request: what to draw.
        population: the table with the posts to draw from, each uri once: columns `uri`, `text` and
            `preprocessing_timestamp`.

    Raises:
        InputError: there are fewer posts than asked for, more strata than posts to draw, or no such
            column.
    """
    posts = fetch_number(connection, f"SELECT count(*) FROM {population}")
    if request.size > posts:
        raise InputError(
            f"{DRAW_SIZE.set_to(request.size)}: there are only {counted(posts, 'post')} to draw "
            "from. "
            + (f"To label them all, submit without {SAMPLE}" if posts else "Check the source")
        )
    _stage_population(connection, source, request, population)
    populations = _count_strata(connection, request)
    sizes = allocate(populations, request.size, request.allocation)
    _rank(connection, request.seed, populations, sizes, margin=MARGIN)
    if fetch_number(connection, f"SELECT count(*) FROM {DRAWN}") < request.size:
        _rank(connection, request.seed, populations, sizes, margin=None)
    connection.execute("DROP TABLE population")
    return tuple(
        Stratum(stratum=stratum, population=populations[stratum], size=sizes[stratum])
        for stratum in sorted(populations)
    )


def read_drawn(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return the drawn posts, by uri, with the columns of a sample's file."""
    table = connection.sql(
        f"SELECT uri, stratum, inclusion_probability, 1::BIGINT AS posts FROM {DRAWN} ORDER BY uri"
    ).to_arrow_table()
    return table.cast(SCHEMA)


def _stage_population(
    connection: duckdb.DuckDBPyConnection, source: Source, request: DrawRequest, population: str
) -> None:
    """Create table `population` with each post's uri and stratum."""
    stratum, join = literal(ALL), ""
    if request.stratify == MONTH:
        stratum = "strftime(preprocessing_timestamp, '%Y-%m')"
    elif request.stratify is not None:
        (column,) = stage_source_columns(
            connection, source, (request.stratify,), population, (), asked_by=STRATIFY
        )
        _reject_marker(connection, request.stratify, column.table)
        stratum = f"coalesce(value_of.value, {literal(MISSING)})"
        join = f" LEFT JOIN {column.table} AS value_of USING (uri)"
    connection.execute(
        f"CREATE OR REPLACE TABLE population AS SELECT uri, {stratum} AS stratum "
        f"FROM {population}{join}"
    )


def _reject_marker(connection: duckdb.DuckDBPyConnection, column: str, table: str) -> None:
    """Raise InputError if a value is the word for no value: two strata would become one."""
    query = f"SELECT count(*) FROM {table} WHERE value = {literal(MISSING)}"
    if posts := fetch_number(connection, query):
        raise InputError(
            f"{STRATIFY.set_to(column)}: {counted(posts, 'post')} have the value {MISSING}, which "
            "is the name of the stratum of posts without a value: change the value in the source"
        )


def _count_strata(connection: duckdb.DuckDBPyConnection, request: DrawRequest) -> dict[str, int]:
    strata = fetch_number(connection, "SELECT count(DISTINCT stratum) FROM population")
    if strata > request.size:
        raise InputError(
            f"{STRATIFY.set_to(request.stratify)}: there are {strata:,} strata, and {DRAW_SIZE} "
            f"{request.size} cannot have a post of each. Draw at least {strata:,} posts, or choose "
            "a column with fewer values"
        )
    rows = connection.execute("SELECT stratum, count(*) FROM population GROUP BY ALL").fetchall()
    return {str(stratum): int(posts) for stratum, posts in rows}


def _rank(
    connection: duckdb.DuckDBPyConnection,
    seed: int,
    populations: Mapping[str, int],
    sizes: Mapping[str, int],
    *,
    margin: float | None,
) -> None:
    """Create table DRAWN with the posts that come first in each stratum.

    Args:
        connection: has table `population`.
        seed: of the hash.
        populations: how many posts each stratum has.
        sizes: how many to draw.
        margin: rank only posts whose hash is small enough that there are, with this many standard
            deviations, as many of them as are drawn; None ranks all posts. Sorting all would take
            three times as long.
    """
    plan = pa.table(
        {
            "stratum": pa.array(populations, pa.string()),
            "size": pa.array([sizes[stratum] for stratum in populations], pa.int64()),
            "inclusion_probability": [sizes[each] / populations[each] for each in populations],
            "highest": pa.array(
                [_highest_hash(populations[each], sizes[each], margin) for each in populations],
                pa.uint64(),
            ),
        }
    )
    connection.register("plan", plan)
    # The first 16 hexadecimal digits as a number: half the memory of the text.
    key = f"('0x' || sha256('{seed}:' || uri)[1:16])::UBIGINT"
    with clean_up_with(lambda: connection.unregister("plan")):
        connection.execute(
            f"CREATE OR REPLACE TABLE {DRAWN} AS SELECT uri, stratum, inclusion_probability FROM "
            "(SELECT *, row_number() OVER (PARTITION BY stratum ORDER BY key, uri) AS place "
            f"FROM (SELECT uri, stratum, {key} AS key FROM population) JOIN plan USING (stratum) "
            "WHERE key <= highest) WHERE place <= size"
        )


def _highest_hash(population: int, size: int, margin: float | None) -> int:
    """Return the highest hash that has to be ranked in a stratum."""
    if margin is None:
        return _HASH_VALUES - 1
    candidates = size + margin * (size**0.5 + margin)
    return min(_HASH_VALUES - 1, int(_HASH_VALUES * (candidates / population)))
