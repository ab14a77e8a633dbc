"""Where every post of a backlog is: the backlog, the database's rows and the runs' files, compared.

DuckDB does the comparing, on files: a row of the database counts because it is there, and an output
because its posts are in it, whatever any record says.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.backlog.scan import TIMESTAMP, Scan
from pipeline.backlog.sources import Source
from pipeline.database import duckdb_file, label_tables
from pipeline.sql import file_list, quoted

# The first that holds is a post's; together they are all posts of the backlog.
PLACES = (
    "labelled",
    "unlabelable",
    "not_gathered",
    "in_flight",
    "failed",
    "blocked",
    "lost",
    "late",
    "new",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """The Parquet files of a name's runs: outputs that verify and were gathered, those that were
    not yet, and the inputs of shards that are not done, by what became of them."""

    gathered: tuple[Path, ...]
    not_gathered: tuple[Path, ...]
    waiting: Mapping[str, tuple[Path, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """Posts of the backlog by place, all and by day (`days`: day, then a count a place).

    `expected` is the sum of all places. `lost` posts are in an output that was gathered, and have
    no row; `late` ones are from before the watermark and in no run. `copies` counts rows of the
    backlog beyond the first of a uri, `unreadable` those without a uri or timestamp; `duplicates`
    rows of the database beyond the first; `foreign` its rows of posts that the backlog has not;
    `unproven` its rows that no output holds; `differing` those that an output holds otherwise,
    and `edited` where: "run, shard".
    """

    rows: int
    copies: int
    unreadable: int
    expected: int
    places: dict[str, int]
    reasons: dict[str, int]
    duplicates: int
    foreign: int
    unproven: int
    differing: int
    edited: tuple[str, ...]
    days: tuple[tuple[str, dict[str, int]], ...]

    @property
    def is_whole(self) -> bool:
        missing = self.places["lost"] + self.places["late"] + self.unreadable
        return not (missing or self.duplicates or self.differing)


def audit(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    *,
    database: Path,
    name: str,
    files: Files,
) -> Audit:
    """Compares on a planning connection (`backlog.staging`). Raises InputError for the source."""
    _load(connection, source, database, name, files)
    connection.execute(
        "CREATE TABLE placed AS SELECT uri, day, CASE "
        "WHEN labelled THEN 'labelled' WHEN labelled IS NOT NULL THEN 'unlabelable' "
        "WHEN uri IN (FROM not_gathered) THEN 'not_gathered' "
        + "".join(f"WHEN uri IN (FROM {place}) THEN '{place}' " for place in files.waiting)
        + "WHEN uri IN (FROM gathered) THEN 'lost' "
        "WHEN moment < (SELECT watermark FROM mark) THEN 'late' ELSE 'new' END AS place "
        "FROM expected LEFT JOIN had USING (uri)"
    )
    places = dict.fromkeys(PLACES, 0) | _counts(
        connection, "SELECT place, count(*) FROM placed GROUP BY 1"
    )
    differing = _differing(connection, name, files.gathered)
    return Audit(
        rows=_number(connection, "SELECT count(*) FROM backlog"),
        copies=_number(
            connection, "SELECT count(*) - count(DISTINCT uri) FROM backlog WHERE uri <> ''"
        ),
        unreadable=_number(
            connection,
            "SELECT count(*) FROM backlog WHERE uri IS NULL OR uri = '' OR moment IS NULL",
        ),
        expected=_number(connection, "SELECT count(*) FROM expected"),
        places=places,
        reasons=_counts(
            connection,
            "SELECT regexp_extract(reason, '^[^:]*'), count(*) FROM had "
            "WHERE NOT labelled GROUP BY 1 ORDER BY 2 DESC, 1",
        ),
        duplicates=_number(connection, "SELECT count(*) - count(DISTINCT uri) FROM labels"),
        foreign=_number(connection, "SELECT count(*) FROM had ANTI JOIN expected USING (uri)"),
        unproven=_number(
            connection,
            "SELECT count(*) FROM had "
            "WHERE uri NOT IN (FROM gathered) AND uri NOT IN (FROM not_gathered)",
        ),
        differing=sum(differing.values()),
        edited=tuple(differing),
        days=_days(connection),
    )


def _load(
    connection: duckdb.DuckDBPyConnection, source: Source, database: Path, name: str, files: Files
) -> None:
    with closing(Scan(connection, source)) as scan:
        connection.execute(
            f"CREATE TABLE backlog AS SELECT uri, {TIMESTAMP.format('raw_timestamp')} AS moment "
            f"FROM ({scan.relation()})"
        )
    connection.execute(
        "CREATE TABLE expected AS SELECT uri, min(moment) AS moment, "
        "coalesce(strftime(min(moment), '%Y-%m-%d'), 'no day') AS day "
        "FROM backlog WHERE uri <> '' GROUP BY uri"
    )
    connection.execute(
        "CREATE TABLE labels (uri VARCHAR, labelled BOOLEAN, reason VARCHAR);"
        "CREATE TABLE mark (watermark TIMESTAMP);"
    )
    if database.exists():
        duckdb_file.attach(connection, database, "labelled")
        table = label_tables.labels_table(name)
        if label_tables.labelled_uris(connection, name, "labelled"):
            connection.execute(
                "INSERT INTO labels SELECT uri, was_successfully_labeled, reason "
                f"FROM labelled.{quoted(table)}"
            )
            connection.execute(
                "INSERT INTO mark SELECT watermark FROM labelled.watermarks WHERE name = ?", [name]
            )
    connection.execute(
        "CREATE TABLE had AS SELECT uri, bool_or(labelled) AS labelled, min(reason) AS reason "
        "FROM labels GROUP BY uri"
    )
    _uris(connection, "gathered", files.gathered)
    _uris(connection, "not_gathered", files.not_gathered)
    for place, paths in files.waiting.items():
        _uris(connection, place, paths)


def _differing(
    connection: duckdb.DuckDBPyConnection, name: str, outputs: Sequence[Path]
) -> dict[str, int]:
    """Rows that are not, column by column, what the output that they came from says; how many, by
    output."""
    if not outputs or not label_tables.labelled_uris(connection, name, "labelled"):
        return {}
    table = f"labelled.{quoted(label_tables.labels_table(name))}"
    published = f"read_parquet({file_list(outputs)}, union_by_name=true)"
    here, there = (
        {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {one}").fetchall()}
        for one in (table, published)
    )
    unlike = " OR ".join(f"l.{quoted(c)} IS DISTINCT FROM o.{quoted(c)}" for c in here & there)
    return _counts(
        connection,
        f"SELECT 'run ' || run_id || ', shard ' || shard_index, count(*) FROM {table} AS l "
        f"JOIN {published} AS o USING (uri, run_id, shard_index) WHERE {unlike} "
        "GROUP BY run_id, shard_index ORDER BY run_id, shard_index",
    )


def _uris(connection: duckdb.DuckDBPyConnection, table: str, paths: Sequence[Path]) -> None:
    connection.execute(f"CREATE TABLE {table} (uri VARCHAR)")
    if paths:
        connection.execute(
            f"INSERT INTO {table} SELECT DISTINCT uri FROM read_parquet({file_list(paths)})"
        )


def _days(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[str, dict[str, int]], ...]:
    rows = connection.execute(
        "SELECT day, place, count(*) FROM placed GROUP BY ALL ORDER BY day"
    ).fetchall()
    days: dict[str, dict[str, int]] = {}
    for day, place, count in rows:
        days.setdefault(day, dict.fromkeys(PLACES, 0))[place] = count
    return tuple(days.items())


def _counts(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, int]:
    return dict(connection.execute(query).fetchall())


def _number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(connection.execute(query).fetchall()[0][0])
