"""Find every post of a backlog: compare it with the database's rows and the runs' files.

DuckDB compares the files themselves: a row of the database counts because it exists, and an output
because its posts are in it, whatever a record says.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import duckdb

from pipeline.backlog.scan import Scan, with_times
from pipeline.backlog.sources import Source
from pipeline.database import duckdb_file, label_tables
from pipeline.sql import fetch_number, file_list, quoted


class Place(StrEnum):
    """Where a post of the backlog is. A post is in the first of these that holds."""

    LABELED = "labelled"
    UNLABELABLE = "unlabelable"
    NOT_GATHERED = "not_gathered"
    IN_FLIGHT = "in_flight"
    FAILED = "failed"
    BLOCKED = "blocked"
    LOST = "lost"
    LATE = "late"
    NEW = "new"


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """The Parquet files of a name's runs."""

    gathered: tuple[Path, ...]
    """Outputs that verify and were gathered."""
    not_gathered: tuple[Path, ...]
    """Outputs that verify and were not gathered yet."""
    waiting: Mapping[Place, tuple[Path, ...]]
    """The inputs of shards that are not done, by IN_FLIGHT, FAILED and BLOCKED."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """Where every post of a backlog is, and what is wrong with the database's rows."""

    rows: int
    """Rows of the backlog."""
    copies: int
    """Rows of the backlog beyond the first one of a uri."""
    unreadable: int
    """Rows of the backlog without a uri or a timestamp."""
    expected: int
    """Posts of the backlog: the sum over all places."""
    places: dict[Place, int]
    """Posts by place. Lost ones are in an output that was gathered, and have no row; late ones are
    older than the watermark, and in no run."""
    reasons: dict[str, int]
    """Unlabelable posts by reason, the most frequent first."""
    duplicates: int
    """Rows of the database beyond the first one of a uri."""
    foreign: int
    """Rows of the database for posts that the backlog does not have."""
    unproven: int
    """Rows of the database that no output holds."""
    differing: int
    """Rows of the database that differ from the output they came from."""
    edited: tuple[str, ...]
    """The shards of these rows, as `run R, shard 3`."""
    days: tuple[tuple[str, dict[Place, int]], ...]
    """Posts by place for every day, in order."""

    @property
    def is_whole(self) -> bool:
        """Tell whether no post is lost, late or unreadable, and no row is duplicate or edited."""
        missing = self.places[Place.LOST] + self.places[Place.LATE] + self.unreadable
        return not (missing or self.duplicates or self.differing)


def audit(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    *,
    database: Path,
    name: str,
    files: Files,
) -> Audit:
    """Compare a backlog with a name's database and files.

    Args:
        connection: a staging connection, as `pipeline.backlog.select.staging` makes it.
        source: the backlog.
        database: the DuckDB file, which may not exist yet.
        name: of the labels.
        files: of the name's runs.

    Raises:
        InputError: the source cannot be read.
    """
    _load(connection, source, database, name, files)
    connection.execute(
        "CREATE TABLE placed AS SELECT uri, day, CASE "
        f"WHEN labeled THEN '{Place.LABELED}' "
        f"WHEN labeled IS NOT NULL THEN '{Place.UNLABELABLE}' "
        f"WHEN uri IN (FROM not_gathered) THEN '{Place.NOT_GATHERED}' "
        + "".join(f"WHEN uri IN (FROM {place}) THEN '{place}' " for place in files.waiting)
        + f"WHEN uri IN (FROM gathered) THEN '{Place.LOST}' "
        f"WHEN moment < (SELECT watermark FROM mark) THEN '{Place.LATE}' "
        f"ELSE '{Place.NEW}' END AS place "
        "FROM expected LEFT JOIN labeled_posts USING (uri)"
    )
    counts = _counts(connection, "SELECT place, count(*) FROM placed GROUP BY 1")
    differing = _differing(connection, name, files.gathered)
    return Audit(
        rows=fetch_number(connection, "SELECT count(*) FROM backlog"),
        copies=fetch_number(
            connection, "SELECT count(*) - count(DISTINCT uri) FROM backlog WHERE uri <> ''"
        ),
        unreadable=fetch_number(
            connection,
            "SELECT count(*) FROM backlog WHERE uri IS NULL OR uri = '' OR moment IS NULL",
        ),
        expected=fetch_number(connection, "SELECT count(*) FROM expected"),
        places={place: counts.get(place, 0) for place in Place},
        reasons=_counts(
            connection,
            "SELECT regexp_extract(reason, '^[^:]*'), count(*) FROM labeled_posts "
            "WHERE NOT labeled GROUP BY 1 ORDER BY 2 DESC, 1",
        ),
        duplicates=fetch_number(connection, "SELECT count(*) - count(DISTINCT uri) FROM labels"),
        foreign=fetch_number(
            connection, "SELECT count(*) FROM labeled_posts ANTI JOIN expected USING (uri)"
        ),
        unproven=fetch_number(
            connection,
            "SELECT count(*) FROM labeled_posts "
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
            "CREATE TABLE backlog AS SELECT uri, preprocessing_timestamp AS moment "
            f"FROM ({with_times(scan.relation())})"
        )
    connection.execute(
        "CREATE TABLE expected AS SELECT uri, min(moment) AS moment, "
        "coalesce(strftime(min(moment), '%Y-%m-%d'), 'no day') AS day "
        "FROM backlog WHERE uri <> '' GROUP BY uri"
    )
    connection.execute(
        "CREATE TABLE labels (uri VARCHAR, labeled BOOLEAN, reason VARCHAR);"
        "CREATE TABLE mark (watermark TIMESTAMP);"
    )
    if database.exists():
        duckdb_file.attach(connection, database, "labeled")
        table = label_tables.labels_table(name)
        if label_tables.labeled_uris(connection, name, "labeled"):
            connection.execute(
                "INSERT INTO labels SELECT uri, was_successfully_labeled, reason "
                f"FROM labeled.{quoted(table)}"
            )
            connection.execute(
                "INSERT INTO mark SELECT watermark FROM labeled.watermarks WHERE name = ?", [name]
            )
    connection.execute(
        "CREATE TABLE labeled_posts AS "
        "SELECT uri, bool_or(labeled) AS labeled, min(reason) AS reason FROM labels GROUP BY uri"
    )
    _uris(connection, "gathered", files.gathered)
    _uris(connection, "not_gathered", files.not_gathered)
    for place, paths in files.waiting.items():
        _uris(connection, place, paths)


def _differing(
    connection: duckdb.DuckDBPyConnection, name: str, outputs: Sequence[Path]
) -> dict[str, int]:
    """Count the rows that differ in any column from the output that they came from, by shard."""
    if not outputs or not label_tables.labeled_uris(connection, name, "labeled"):
        return {}
    table = f"labeled.{quoted(label_tables.labels_table(name))}"
    published = f"read_parquet({file_list(outputs)}, union_by_name=true)"
    shared = _column_names(connection, table) & _column_names(connection, published)
    differ = " OR ".join(
        f"l.{quoted(column)} IS DISTINCT FROM o.{quoted(column)}" for column in shared
    )
    return _counts(
        connection,
        f"SELECT 'run ' || run_id || ', shard ' || shard_index, count(*) FROM {table} AS l "
        f"JOIN {published} AS o USING (uri, run_id, shard_index) WHERE {differ} "
        "GROUP BY run_id, shard_index ORDER BY run_id, shard_index",
    )


def _column_names(connection: duckdb.DuckDBPyConnection, table: str) -> set[str]:
    rows = connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
    return {row[0] for row in rows}


def _uris(connection: duckdb.DuckDBPyConnection, table: str, paths: Sequence[Path]) -> None:
    connection.execute(f"CREATE TABLE {table} (uri VARCHAR)")
    if paths:
        connection.execute(
            f"INSERT INTO {table} SELECT DISTINCT uri FROM read_parquet({file_list(paths)})"
        )


def _days(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[str, dict[Place, int]], ...]:
    rows = connection.execute(
        "SELECT day, place, count(*) FROM placed GROUP BY ALL ORDER BY day"
    ).fetchall()
    days: dict[str, dict[Place, int]] = {}
    for day, place, count in rows:
        days.setdefault(day, dict.fromkeys(Place, 0))[Place(place)] = count
    return tuple(days.items())


def _counts(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, int]:
    return dict(connection.execute(query).fetchall())
