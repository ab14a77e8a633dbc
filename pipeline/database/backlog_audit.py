"""Find every post of a backlog: compare it with the database's rows and the runs' files.

The files themselves are compared: a row of the database counts because it exists, and an output
because its posts are in it, or its bytes are those that were gathered. A file that cannot be read
is named, and the rest is audited.
"""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import duckdb
import msgspec

from pipeline.backlog.scan import Scan, with_times
from pipeline.database import label_tables
from pipeline.database.compare_outputs import (
    Claim,
    Compared,
    Examine,
    LabelRows,
    ShardFile,
    compare_outputs,
    read_posts,
)
from pipeline.database.places.place import WAITING, Place
from pipeline.database.places.place_posts import place_posts
from pipeline.database.places.post_keys import post_key
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.sql import fetch_number, quoted, share_done

LABELED = "labeled"
"""The alias of the labels' database in a session."""


class Files(msgspec.Struct, frozen=True, kw_only=True):
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


class _Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows and posts a backlog has. The posts are in relation `expected`."""

    rows: int
    named: int
    """Rows with a uri."""
    posts: int
    unreadable: int
    """Rows without a uri or a timestamp."""


class _Labels(msgspec.Struct, frozen=True, kw_only=True):
    """What the database has. The posts that have a row are in relation `labeled_posts`."""

    labels: LabelRows
    runs: frozenset[str]
    """The ids of the runs that the database knows."""
    rows: int
    posts: int
    """How many posts have a row."""
    copied: int
    """How many rows are copies."""


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A backlog and the rows of a name, in the tables of a session."""

    backlog: _Backlog
    labels: _Labels


def load(connection: duckdb.DuckDBPyConnection, scan: Scan, name: str | None) -> Loaded:
    """Copy the rows of a name and a backlog into tables of a session.

    The rows come first. So the backlog has the posts of all of them, though it may grow meanwhile.

    Args:
        connection: a session, to which the labels' database is attached as LABELED. It is detached.
        scan: reads the backlog on this connection, and is closed.
        name: of the labels; None if there is no database.

    Raises:
        InputError: the source cannot be read.
        OSError: the disk is full.
    """
    with closing(scan):
        labels = _load_labels(connection, name)
        return Loaded(labels=labels, backlog=_load_backlog(connection, scan))


def audit(
    connection: duckdb.DuckDBPyConnection,
    loaded: Loaded,
    watermark: datetime | None,
    files: Files,
    examine: Examine,
    progress: Progress = NO_PROGRESS,
) -> Audit:
    """Compare a backlog with a name's rows and files.

    Args:
        connection: the session with the backlog and the rows.
        loaded: what `load` returned.
        watermark: the time (UTC) from which the next run takes posts; None: from the beginning.
        files: of the name's runs, looked at after the database was read.
        examine: reads one file, and checks it.
        progress: shows how far reading and comparing are.

    Raises:
        OSError: the disk is full.
    """
    share = partial(share_done, connection)
    backlog, known = loaded.backlog, loaded.labels
    labels = known.labels
    with progress.step("comparing outputs with the database", measure=share):
        compared = compare_outputs(connection, labels, files.gathered, examine)
    claims = _judge_claims(labels, files, compared, known.runs)
    problems = [*files.problems, *compared.unreadable.values()]
    with progress.step("reading the files of shards that are not gathered", measure=share):
        problems += _load_posts(connection, files, examine)
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
        days, with_row = place_posts(connection, watermark)
    return Audit(
        rows=backlog.rows,
        copies=backlog.named - backlog.posts,
        unreadable=backlog.unreadable,
        future=fetch_number(
            connection, "SELECT count(*) FROM expected WHERE moment > now()::TIMESTAMP"
        ),
        expected=backlog.posts,
        places={place: sum(counts[place] for counts in days.values()) for place in Place},
        reasons=_counts(
            connection,
            "SELECT regexp_extract(reason, '^[^:]*'), count(*) FROM labeled_posts "
            "WHERE NOT labeled GROUP BY 1 ORDER BY 2 DESC, 1",
        ),
        copied=known.copied,
        duplicates=known.rows - known.posts,
        foreign=fetch_number(connection, "SELECT count(*) FROM labeled_posts") - with_row,
        unproven=claims.unproven,
        outputs_gone=claims.outputs_gone,
        not_compared=claims.not_compared,
        differing=sum(claims.differing.values()),
        edited=tuple(f"run {run}, shard {index}" for run, index in sorted(claims.differing)),
        unreadable_files=tuple(dict.fromkeys(problems)),
        days=tuple(days.items()),
    )


def _load_backlog(connection: duckdb.DuckDBPyConnection, scan: Scan) -> _Backlog:
    named = post_key("nullif(uri, '')")
    scan.read(
        lambda relation: (
            f"CREATE TABLE backlog AS SELECT {named} AS post, "
            f"preprocessing_timestamp AS moment FROM ({with_times(relation)})"
        )
    )
    rows, named, posts, readable = connection.execute(
        "SELECT count(*), count(post), count(DISTINCT post), "
        "count(*) FILTER (post IS NOT NULL AND moment IS NOT NULL) FROM backlog"
    ).fetchall()[0]
    # Grouping takes as long as reading, and most backlogs have each post once.
    if posts == named:
        connection.execute(
            "CREATE VIEW expected AS SELECT post, moment FROM backlog WHERE post IS NOT NULL"
        )
    else:
        connection.execute(
            "CREATE TABLE expected AS SELECT post, min(moment) AS moment FROM backlog "
            "WHERE post IS NOT NULL GROUP BY post"
        )
    return _Backlog(rows=rows, named=named, posts=posts, unreadable=rows - readable)


def _load_labels(connection: duckdb.DuckDBPyConnection, name: str | None) -> _Labels:
    """Copy the rows of the database."""
    table, runs, copied = None, frozenset[str](), 0
    if name is not None:
        if label_tables.labeled_uris(connection, name, LABELED):
            table = f"{LABELED}.{quoted(label_tables.labels_table(name))}"
            copied = label_tables.count_copies(connection, name, LABELED)
        rows = connection.execute(f"SELECT run_id FROM {LABELED}.runs").fetchall()
        runs = frozenset(row[0] for row in rows)
    labels = LabelRows(connection, table)
    if name is not None:
        connection.execute(f"DETACH {LABELED}")
    labels.claims()
    count, posts = connection.execute(
        "SELECT count(*), count(DISTINCT post) FROM labels"
    ).fetchall()[0]
    if posts == count:
        connection.execute("CREATE VIEW labeled_posts AS SELECT post, labeled, reason FROM labels")
    else:
        connection.execute(
            "CREATE TABLE labeled_posts AS SELECT post, bool_or(labeled) AS labeled, "
            "min(reason) AS reason FROM labels GROUP BY post"
        )
    return _Labels(labels=labels, runs=runs, rows=count, posts=posts, copied=copied)


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


def _load_posts(connection: duckdb.DuckDBPyConnection, files: Files, examine: Examine) -> list[str]:
    """Put the posts of files into tables by place; return what is wrong with unreadable files."""
    problems = []
    connection.execute("CREATE TABLE doubtful (oldest TIMESTAMP, newest TIMESTAMP)")
    for place in (Place.NOT_GATHERED, *WAITING):
        chosen = files.not_gathered if place is Place.NOT_GATHERED else files.waiting.get(place, ())
        for file in read_posts(connection, place, chosen):
            table, problem = examine(file)
            if table is not None:
                connection.register("uris", table)
                connection.execute(f"INSERT INTO {place} SELECT {post_key()} FROM uris")
                connection.unregister("uris")
                continue
            problems.append(problem)
            _add_doubtful(connection, [file])
    return problems


def _add_doubtful(connection: duckdb.DuckDBPyConnection, files: Iterable[ShardFile]) -> None:
    """Note from when to when the posts of files are that cannot be read."""
    for file in files:
        ends = [each and datetime.fromisoformat(each) for each in (file.oldest, file.newest)]
        connection.execute("INSERT INTO doubtful VALUES (?, ?)", ends)


def _counts(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, int]:
    return dict(connection.execute(query).fetchall())
