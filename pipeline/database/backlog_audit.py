"""Find every post of a backlog: compare it with the database's rows and the runs' files.

The files themselves are compared: a row of the database counts because it exists, and an output
because its posts are in it, or its bytes are those that were gathered. A file that cannot be read
is named, and the rest is audited.
"""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path

import duckdb

from pipeline.backlog.scan import Scan, with_times
from pipeline.backlog.sources import Source
from pipeline.database import duckdb_file, label_tables
from pipeline.database.compare_outputs import (
    Claim,
    Compared,
    Examine,
    LabelRows,
    ShardFile,
    compare_outputs,
    read_uris,
)
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.sql import fetch_number, quoted, share_done

_LABELED = "labeled"


class Place(StrEnum):
    """Where a post of the backlog is. A post is in the first of these that holds."""

    LABELED = "labelled"
    UNLABELABLE = "unlabelable"
    NOT_GATHERED = "not_gathered"
    IN_FLIGHT = "in_flight"
    PLANNED = "planned"
    HANDED_OVER = "handed_over"
    FAILED = "failed"
    BLOCKED = "blocked"
    LOST = "lost"
    UNREADABLE = "unreadable"
    LATE = "late"
    NEW = "new"


WAITING = (
    Place.IN_FLIGHT,
    Place.PLANNED,
    Place.HANDED_OVER,
    Place.FAILED,
    Place.BLOCKED,
    Place.UNREADABLE,
)
"""The places of posts in shards that are not done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """The Parquet files of a name's runs."""

    gathered: tuple[ShardFile, ...] = ()
    """Outputs that verify and were gathered."""
    not_gathered: tuple[ShardFile, ...] = ()
    """Outputs that verify and were not gathered yet."""
    waiting: Mapping[Place, tuple[ShardFile, ...]]
    """The inputs of shards that are not done, by their place."""
    runs: Mapping[str, int]
    """How many shards each run has, by run id."""
    unusable_runs: frozenset[str] = frozenset()
    """The ids of runs that cannot be read, as far as their folders' names say them."""
    problems: tuple[str, ...] = ()
    """What is wrong with runs and files, as far as it is known before they are read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditedLabels:
    """The labels of a name."""

    name: str
    database: Path
    """The DuckDB file, which may not exist yet."""
    watermark: datetime | None
    """From when on (UTC) the next run would take posts; None from the beginning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """Where every post of a backlog is, and what is wrong with the database's rows."""

    rows: int
    """Rows of the backlog."""
    copies: int
    """Rows of the backlog beyond the first one of a uri."""
    unreadable: int
    """Rows of the backlog without a uri or a timestamp."""
    future: int
    """Posts of the backlog with a timestamp later than now."""
    expected: int
    """Posts of the backlog: the sum over all places."""
    places: dict[Place, int]
    """Posts by place. Lost ones are in an output that was gathered, and have no row; unreadable
    ones may be in a file that cannot be read; late ones are older than the watermark, and in no
    run."""
    reasons: dict[str, int]
    """Unlabelable posts by reason, the most frequent first."""
    copied: int
    """Rows of the database with the answer to another post, which has the same text."""
    duplicates: int
    """Rows of the database beyond the first one of a uri."""
    foreign: int
    """Rows of the database for posts that the backlog does not have."""
    unproven: int
    """Rows of the database whose run's folder is gone."""
    outputs_gone: int
    """Rows of the database whose run's folder is there, and has no output for them."""
    not_compared: int
    """Rows of the database whose output cannot be read, or is not gathered yet."""
    differing: int
    """Rows of the database that differ from the output they came from, or are not in it, or claim
    a run or a shard that there is not."""
    edited: tuple[str, ...]
    """The shards of these rows, as `run R, shard 3`."""
    unreadable_files: tuple[str, ...]
    """What is wrong with the runs and files that cannot be read."""
    days: tuple[tuple[str, dict[Place, int]], ...]
    """Posts by place for every day, in order."""

    @property
    def is_whole(self) -> bool:
        """Tell whether every post has its row, and nothing is wrong."""
        done = self.places[Place.LABELED] + self.places[Place.UNLABELABLE]
        return done == self.expected and not self.needs_a_person

    @property
    def needs_a_person(self) -> bool:
        """Tell whether something is wrong, or stays as it is until a person acts."""
        stuck = (Place.PLANNED, Place.FAILED, Place.BLOCKED)
        missing = (Place.LOST, Place.UNREADABLE, Place.LATE)
        wrong = (self.unreadable, self.duplicates, self.differing, self.outputs_gone)
        return bool(
            any(wrong)
            or self.unreadable_files
            or any(self.places[place] for place in (*stuck, *missing))
        )


def audit(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    audited: AuditedLabels,
    files: Files,
    examine: Examine,
    progress: Progress = NO_PROGRESS,
) -> Audit:
    """Compare a backlog with a name's database and files.

    Args:
        connection: a staging connection, as `pipeline.backlog.select.staging` makes it.
        source: the backlog.
        audited: the labels.
        files: of the name's runs.
        examine: reads one file, and checks it.
        progress: shows how far reading and comparing are.

    Raises:
        InputError: the source cannot be read.
        OSError: the disk is full.
    """
    share = partial(share_done, connection)
    with progress.step("reading the backlog", measure=share):
        _load_backlog(connection, source)
    with progress.step("reading the database", measure=share):
        labels, recorded_runs, copied = _load_labels(connection, audited.database, audited.name)
    with progress.step("comparing outputs with the database", measure=share):
        compared = compare_outputs(connection, labels, files.gathered, examine)
    claims = _judge_claims(labels, files, compared, recorded_runs)
    problems = [*files.problems, *compared.unreadable.values()]
    with progress.step("reading the files of shards that are not gathered", measure=share):
        problems += _load_uris(connection, files, examine)
    rows = {claim: rows for claim, (rows, _) in labels.claims().items()}
    _add_doubtful(
        connection,
        (
            file
            for file in files.gathered
            if file.claim in compared.unreadable and rows.get(file.claim, 0) < file.posts
        ),
    )
    with progress.step("finding where each post is", measure=share):
        _place_posts(connection, audited.watermark)
    counts = _counts(connection, "SELECT place, count(*) FROM placed GROUP BY 1")
    return Audit(
        rows=fetch_number(connection, "SELECT count(*) FROM backlog"),
        copies=fetch_number(
            connection,
            "SELECT count(*) - (SELECT count(*) FROM expected) FROM backlog WHERE uri <> ''",
        ),
        unreadable=fetch_number(
            connection,
            "SELECT count(*) FROM backlog WHERE uri IS NULL OR uri = '' OR moment IS NULL",
        ),
        future=fetch_number(
            connection, "SELECT count(*) FROM expected WHERE moment > now()::TIMESTAMP"
        ),
        expected=fetch_number(connection, "SELECT count(*) FROM expected"),
        places={place: counts.get(place, 0) for place in Place},
        reasons=_counts(
            connection,
            "SELECT regexp_extract(reason, '^[^:]*'), count(*) FROM labeled_posts "
            "WHERE NOT labeled GROUP BY 1 ORDER BY 2 DESC, 1",
        ),
        copied=copied,
        duplicates=fetch_number(
            connection, "SELECT count(*) - (SELECT count(uri) FROM labeled_posts) FROM labels"
        ),
        foreign=fetch_number(
            connection,
            "SELECT count(*) - (SELECT count(*) FROM placed WHERE has_row) FROM labeled_posts",
        ),
        unproven=claims.unproven,
        outputs_gone=claims.outputs_gone,
        not_compared=claims.not_compared,
        differing=sum(claims.differing.values()),
        edited=tuple(f"run {run}, shard {index}" for run, index in sorted(claims.differing)),
        unreadable_files=tuple(dict.fromkeys(problems)),
        days=_days(connection),
    )


def _load_backlog(connection: duckdb.DuckDBPyConnection, source: Source) -> None:
    with closing(Scan(connection, source)) as scan:
        scan.read(
            lambda relation: (
                "CREATE TABLE backlog AS SELECT uri, preprocessing_timestamp AS moment "
                f"FROM ({with_times(relation)})"
            )
        )
    connection.execute(
        "CREATE TABLE expected AS SELECT uri, min(moment) AS moment, "
        "coalesce(strftime(min(moment), '%Y-%m-%d'), 'no day') AS day "
        "FROM backlog WHERE uri <> '' GROUP BY uri"
    )


def _load_labels(
    connection: duckdb.DuckDBPyConnection, database: Path, name: str
) -> tuple[LabelRows, frozenset[str], int]:
    """Copy the rows of the database.

    Returns:
        The rows, the ids of the runs that the database knows, and how many rows are copies.
    """
    table, runs, copied = None, frozenset[str](), 0
    if duckdb_file.exists(database):
        duckdb_file.attach(connection, database, _LABELED)
        if label_tables.labeled_uris(connection, name, _LABELED):
            table = f"{_LABELED}.{quoted(label_tables.labels_table(name))}"
            copied = label_tables.count_copies(connection, name, _LABELED)
        rows = connection.execute(f"SELECT run_id FROM {_LABELED}.runs").fetchall()
        runs = frozenset(row[0] for row in rows)
    labels = LabelRows(connection, table)
    if duckdb_file.exists(database):
        connection.execute(f"DETACH {_LABELED}")
    connection.execute(
        "CREATE TABLE labeled_posts AS "
        "SELECT uri, bool_or(labeled) AS labeled, min(reason) AS reason FROM labels GROUP BY uri"
    )
    return labels, runs, copied


@dataclass(kw_only=True, slots=True)
class _Claims:
    """What became of the rows of the database, by the run and shard that they claim."""

    differing: dict[Claim, int]
    unproven: int = 0
    outputs_gone: int = 0
    not_compared: int = 0


def _judge_claims(
    labels: LabelRows, files: Files, compared: Compared, recorded_runs: frozenset[str]
) -> _Claims:
    gathered = {file.claim for file in files.gathered}
    published = {file.claim for file in files.not_gathered}
    unreadable = {file.claim for file in files.waiting.get(Place.UNREADABLE, ())}
    claims = _Claims(differing=dict(compared.differing))
    for claim, (rows, _) in labels.claims().items():
        run_id, index = claim
        if claim in compared.unreadable or claim in published or claim in unreadable:
            claims.not_compared += rows
        elif claim in gathered:
            continue
        elif run_id in files.unusable_runs:
            claims.not_compared += rows
        elif run_id in files.runs:
            if 0 <= index < files.runs[run_id]:
                claims.outputs_gone += rows
            else:
                claims.differing[claim] = rows
        elif run_id in recorded_runs:
            claims.unproven += rows
        else:
            claims.differing[claim] = rows
    return claims


def _load_uris(connection: duckdb.DuckDBPyConnection, files: Files, examine: Examine) -> list[str]:
    """Copy the uris of files into tables by place; return what is wrong with those that cannot."""
    problems = []
    connection.execute("CREATE TABLE doubtful (oldest TIMESTAMP, newest TIMESTAMP)")
    for place in (Place.NOT_GATHERED, *WAITING):
        chosen = files.not_gathered if place is Place.NOT_GATHERED else files.waiting.get(place, ())
        for file in read_uris(connection, place, chosen):
            table, problem = examine(file)
            if table is not None:
                connection.register("uris", table)
                connection.execute(f"INSERT INTO {place} SELECT uri FROM uris")
                connection.unregister("uris")
                continue
            problems.append(problem)
            _add_doubtful(connection, [file])
    return problems


def _add_doubtful(connection: duckdb.DuckDBPyConnection, files: Iterable[ShardFile]) -> None:
    """Note from when to when the posts of files are that cannot be read."""
    for file in files:
        connection.execute("INSERT INTO doubtful VALUES (?, ?)", [file.oldest, file.newest])


def _place_posts(connection: duckdb.DuckDBPyConnection, watermark: datetime | None) -> None:
    """Create table `placed`: each expected post's day and place, and whether it has a row."""
    # Each table costs another join over all posts, and most of them are empty.
    tables = {place.value: place for place in (Place.NOT_GATHERED, *WAITING[:-1])}
    tables |= {"unmatched": Place.LOST, WAITING[-1].value: WAITING[-1]}
    conditions = [
        f"WHEN uri IN (FROM {table}) THEN '{place}'"
        for table, place in tables.items()
        if fetch_number(connection, f"SELECT count(*) FROM {table}")
    ]
    connection.execute(
        "CREATE TABLE placed AS SELECT day, labeled_posts.uri IS NOT NULL AS has_row, CASE "
        f"WHEN labeled THEN '{Place.LABELED}' "
        f"WHEN labeled IS NOT NULL THEN '{Place.UNLABELABLE}' "
        f"{' '.join(conditions)} "
        "WHEN EXISTS (SELECT 1 FROM doubtful WHERE moment BETWEEN oldest AND newest) "
        f"THEN '{Place.UNREADABLE}' "
        f"WHEN moment < $watermark::TIMESTAMP THEN '{Place.LATE}' ELSE '{Place.NEW}' END AS place "
        "FROM expected LEFT JOIN labeled_posts USING (uri)",
        {"watermark": watermark},
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
