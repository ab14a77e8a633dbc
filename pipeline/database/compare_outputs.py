"""Compare the database's rows with the outputs that they came from, without a query for each file.

One pass over the table yields the number and a sum of hashes of the rows that claim each output.
Equal sums of the output's rows prove equal rows, uris included. The database has the sums of an
output when it was gathered, and they hold while its bytes are the same; of the other outputs, one
pass over the files yields them. Only the outputs that are left are looked at row by row.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import msgspec
import pyarrow as pa

from pipeline.archive import copy_archived
from pipeline.database.duckdb_file import register_tables
from pipeline.database.output_proofs import describe_rows, row_hash
from pipeline.database.places import small_files
from pipeline.database.places.post_keys import post_key
from pipeline.errors import DamagedError
from pipeline.sql import clean_up_with, literal, parquet_rows, quoted, raise_lack_of_space

# DuckDB keeps what it knows of each file of a query in memory.
FILES_PER_QUERY = 500
ROWS_PER_QUERY = 1_000_000
# Outputs of this many rows are compared row by row at once.
ROWS_IN_MEMORY = 200_000
# The column with the path of each row's file. No label column has this name: it has a blank.
_PATH = "path of the output"

Claim = tuple[str, int]
"""Run id and shard index, which a row of the database has."""
RowSums = tuple[int, int]
"""The number of rows, and the sum of their hashes."""


class ShardFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a shard: its input or its output."""

    file: str
    """Its path. There may be 10,000 files, and a `Path` takes longer than the rest of a value."""
    run_id: str
    index: int
    posts: int
    oldest: str | None = None
    """The time of its oldest post (ISO 8601, UTC), as the manifest has it; None if unknown."""
    newest: str | None = None
    """The time of its newest post."""
    rows_hash: str = ""
    """What `describe_rows` returned for its rows when it was gathered, if its bytes are the same;
    '' for other files, and if nobody recorded it."""

    @property
    def path(self) -> Path:
        """Return where the file is."""
        return Path(self.file)

    @property
    def claim(self) -> Claim:
        """Return what the rows of the output have."""
        return self.run_id, self.index


# Reads a whole output, and checks it. Returns the table, or None and what is wrong with the file.
Examine = Callable[[ShardFile], tuple[pa.Table | None, str]]


@dataclass(kw_only=True, slots=True)
class Compared:
    """What the comparison found."""

    differing: dict[Claim, int] = field(default_factory=dict)
    """How many rows differ from their output, or are not in it."""
    unreadable: dict[Claim, str] = field(default_factory=dict)
    """What is wrong with the outputs that could not be compared."""


class LabelRows:
    """The rows of a name's table, copied into table `labels` of a staging database.

    Each has a hash over all columns of the table.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: str | None) -> None:
        """Copy the rows.

        Args:
            connection: the staging database.
            table: the table, as SQL; None if there is none, and no row.
        """
        self._connection = connection
        self._claims: dict[Claim, RowSums] | None = None
        self._types = _types(connection, table) if table else {}
        if table:
            connection.execute(
                f"CREATE TABLE labels AS SELECT {post_key()} AS post, "
                "was_successfully_labeled AS labeled, reason, "
                f"run_id, shard_index, {row_hash(self._types)} AS row_hash FROM {table}"
            )
        else:
            connection.execute(
                "CREATE TABLE labels (post UHUGEINT, labeled BOOLEAN, reason VARCHAR, "
                "run_id VARCHAR, shard_index INTEGER, row_hash UBIGINT)"
            )

    def claims(self) -> dict[Claim, RowSums]:
        """Return by run and shard how many rows claim it, and the sum of their hashes."""
        if self._claims is None:
            rows = self._connection.execute(
                "SELECT run_id, shard_index, count(*), sum(row_hash::HUGEINT) FROM labels "
                "GROUP BY ALL"
            ).fetchall()
            self._claims = {(run, index): (count, total) for run, index, count, total in rows}
        return self._claims

    def row_hash(self, present: Mapping[str, str]) -> str:
        """Return SQL for the hash of a row that has these columns, as if it were in the table."""
        return row_hash({name: kind for name, kind in self._types.items() if name in present})


def compare_outputs(
    connection: duckdb.DuckDBPyConnection,
    labels: LabelRows,
    outputs: Sequence[ShardFile],
    examine: Examine,
) -> Compared:
    """Compare gathered outputs with the rows that claim them.

    The posts of the outputs that are not equal to their rows go into table `unmatched`.

    Args:
        connection: the staging database, which holds `labels`.
        labels: the rows.
        outputs: outputs that were gathered.
        examine: reads one output, and checks it.
    """
    claims = labels.claims()
    compared = Compared()
    equal = _find_equal(claims, outputs)
    left = [
        output
        for output, sums in _sums(
            connection, labels, [output for output in outputs if output.file not in equal]
        )
        if sums is None or sums != claims.get(output.claim)
    ]
    # A later run may have replaced all rows of an output. Then only its posts matter.
    unclaimed = [output for output in left if output.claim not in claims]
    unread = read_posts(connection, "unmatched", unclaimed)
    claimed = [output for output in left if output.claim in claims]
    for batch in _batches([*claimed, *unread], FILES_PER_QUERY, ROWS_IN_MEMORY):
        _compare_rows(connection, labels, batch, examine, compared)
    return compared


def _find_equal(claims: Mapping[Claim, RowSums], outputs: Sequence[ShardFile]) -> set[str]:
    """Return the outputs that are as they were gathered, and so are the rows that claim them."""
    return {
        output.file
        for output in outputs
        if output.rows_hash
        and (sums := claims.get(output.claim))
        and output.rows_hash == describe_rows(*sums)
    }


def _sums(
    connection: duckdb.DuckDBPyConnection, labels: LabelRows, outputs: Sequence[ShardFile]
) -> Iterator[tuple[ShardFile, RowSums | None]]:
    """Yield each output with the number and the sum of hashes of its rows; None if unreadable."""
    for batch in _batches(outputs, FILES_PER_QUERY, ROWS_PER_QUERY):
        sums = _sums_of(connection, labels, batch)
        yield from ((output, sums.get(output.file)) for output in batch)


def _sums_of(
    connection: duckdb.DuckDBPyConnection, labels: LabelRows, outputs: Sequence[ShardFile]
) -> dict[str, RowSums]:
    """Return the sums by file. A file that cannot be read, or not with the others, is missing."""
    sums: dict[str, RowSums] = {}

    def add(files: Sequence[ShardFile]) -> None:
        with _readable(files) as (relation, file_of):
            row_hash = labels.row_hash(_types(connection, relation))
            rows = connection.execute(
                f"SELECT {quoted(_PATH)}, count(*), sum({row_hash}::HUGEINT) FROM {relation} "
                "GROUP BY 1"
            ).fetchall()
        sums.update({file_of[name].file: (count, total) for name, count, total in rows})

    _apply_by_halves(outputs, add)
    return sums


@contextmanager
def _readable(files: Sequence[ShardFile]) -> Iterator[tuple[str, dict[str, ShardFile]]]:
    """Yield SQL for the rows of some files, and the files by the names that the rows have.

    DuckDB cannot read the files of archived runs. They are copied for as long, a batch at a time.
    """
    with ExitStack() as stack:
        folder: Path | None = None
        file_of: dict[str, ShardFile] = {}
        for number, file in enumerate(files):
            name = file.file
            if not os.path.exists(name):  # noqa: PTH110 - of 10,000 files; a Path takes longer
                if folder is None:
                    made = stack.enter_context(TemporaryDirectory(prefix="hpc-archived-"))
                    folder = Path(made)
                copy = folder / f"{number}.parquet"
                name = str(copy) if _is_copied(file.path, copy) else name
            file_of[name] = file
        yield parquet_rows(file_of, path_column=_PATH), file_of


def _is_copied(path: Path, copy: Path) -> bool:
    try:
        return copy_archived(path, copy)
    except (OSError, DamagedError):  # the query fails, and the file is reported
        return False


def _apply_by_halves(
    files: Sequence[ShardFile], act: Callable[[Sequence[ShardFile]], None]
) -> list[ShardFile]:
    """Apply a query to files at once; if it fails, to each half of them.

    Returns:
        The files for which it fails on their own.
    """
    try:
        act(files)
    except duckdb.Error as error:
        raise_lack_of_space(error, "the audit")
        if len(files) == 1:
            return list(files)
        middle = len(files) // 2
        return [*_apply_by_halves(files[:middle], act), *_apply_by_halves(files[middle:], act)]
    return []


def _compare_rows(
    connection: duckdb.DuckDBPyConnection,
    labels: LabelRows,
    outputs: Sequence[ShardFile],
    examine: Examine,
    compared: Compared,
) -> None:
    """Compare some outputs row by row."""
    connection.execute(
        "CREATE OR REPLACE TABLE output_rows "
        "(post UHUGEINT, run_id VARCHAR, shard_index INTEGER, row_hash UBIGINT)"
    )
    for output in outputs:
        table, problem = examine(output)
        if table is None:
            compared.unreadable[output.claim] = problem
            continue
        connection.register("output_table", table)
        row_hash = labels.row_hash(_types(connection, "output_table"))
        with clean_up_with(lambda: connection.unregister("output_table")):
            try:
                connection.execute(
                    f"INSERT INTO output_rows SELECT {post_key()}, {literal(output.run_id)}, "
                    f"{output.index}, {row_hash} FROM output_table"
                )
            except duckdb.Error as error:
                raise_lack_of_space(error, "the audit")
                compared.unreadable[output.claim] = f"{output.path}: {error}"
    connection.execute("INSERT INTO unmatched SELECT post FROM output_rows")
    connection.execute(
        "CREATE OR REPLACE TABLE compared_claims AS SELECT DISTINCT run_id, shard_index "
        "FROM output_rows"
    )
    differing = connection.execute(
        "SELECT l.run_id, l.shard_index, count(*) FROM labels AS l "
        "SEMI JOIN compared_claims USING (run_id, shard_index) "
        "LEFT JOIN output_rows AS o USING (post, run_id, shard_index) "
        "WHERE l.row_hash IS DISTINCT FROM o.row_hash GROUP BY ALL"
    ).fetchall()
    compared.differing.update({(run_id, index): count for run_id, index, count in differing})


def _types(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {row[0]: row[1] for row in rows}


def _batches(
    files: Sequence[ShardFile], most_files: int, most_rows: int
) -> Iterator[list[ShardFile]]:
    batch: list[ShardFile] = []
    rows = 0
    for file in files:
        if batch and (len(batch) >= most_files or rows + file.posts > most_rows):
            yield batch
            batch, rows = [], 0
        batch.append(file)
        rows += file.posts
    if batch:
        yield batch


def read_posts(
    connection: duckdb.DuckDBPyConnection, table: str, files: Sequence[ShardFile]
) -> list[ShardFile]:
    """Put the posts of some files into a new table, and return the files that cannot be read."""
    connection.execute(f"CREATE TABLE {table} (post UHUGEINT)")

    def insert(batch: Sequence[ShardFile]) -> None:
        with _readable(batch) as (relation, _):
            connection.execute(f"INSERT INTO {table} SELECT {post_key()} FROM {relation}")

    left = _insert_small(connection, table, files)
    return [
        file
        for batch in _batches(left, FILES_PER_QUERY, ROWS_PER_QUERY)
        for file in _apply_by_halves(batch, insert)
    ]


def _insert_small(
    connection: duckdb.DuckDBPyConnection, table: str, files: Sequence[ShardFile]
) -> list[ShardFile]:
    """Put the posts of small files into a table, and return the other files."""
    small = [file for file in files if 0 < file.posts <= small_files.MOST_POSTS]
    if not small:
        return list(files)
    done: set[str] = set()
    for batch in _batches(small, len(small), ROWS_PER_QUERY):
        paths = [file.file for file in batch]
        uris, left = small_files.read_uris(paths)
        with register_tables(connection, uris=uris):
            connection.execute(f"INSERT INTO {table} SELECT {post_key()} FROM uris")
        done.update(set(paths).difference(left))
    return [file for file in files if file.file not in done]


def find_uri(
    connection: duckdb.DuckDBPyConnection, files: Sequence[ShardFile], uri: str
) -> tuple[list[ShardFile], list[ShardFile]]:
    """Return the files that hold a uri, and those that cannot be read."""
    holders: list[ShardFile] = []

    def look(batch: Sequence[ShardFile]) -> None:
        with _readable(batch) as (relation, file_of):
            rows = connection.execute(
                f"SELECT DISTINCT {quoted(_PATH)} FROM {relation} WHERE uri = ?", [uri]
            ).fetchall()
        holders.extend(file_of[row[0]] for row in rows)

    unread = [
        file
        for batch in _batches(files, FILES_PER_QUERY, ROWS_PER_QUERY)
        for file in _apply_by_halves(batch, look)
    ]
    return holders, unread
