"""Declare the sections that say which posts, in which pieces, and where to."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from pipeline.config.keys import (
    Count,
    Duration,
    Positive,
    Section,
    Text,
    Wrong,
    expects,
    key,
    label_key,
    one_of,
)
from pipeline.config.session_limits import (
    LOGIN_NODE,
    MemoryGb,
    SessionLimits,
    TemporaryFolder,
    Threads,
)

Glob = Annotated[
    str,
    Meta(pattern=r"^[^/\s]"),
    expects("a glob, relative to the source's folder"),
]
SOURCE_COLUMNS = ("uri", "text", "preprocessing_timestamp")
DEFAULT_ROWS_PER_SHARD = 10_000

# Where labels are kept: in a table of the database, or in Parquet files under a view.
DUCKDB, PARQUET = LAYOUTS = ("duckdb", "parquet")

# How a text holds a record.
JSON_RECORDS, PYTHON_RECORDS = RECORD_FORMATS = ("json", "python")


class SourceColumns(Section, frozen=True, kw_only=True):
    """What the source calls the three columns.

    `record.text` is the field `text` of a nested column `record`.
    """

    uri: Annotated[Text, key("Column that identifies a post.")] = "uri"
    text: Annotated[Text, key("Column with the text of a post.")] = "text"
    preprocessing_timestamp: Annotated[
        Text,
        key(
            "Column with the time that decides the order of posts: `2024-05-31-13:00:00`, "
            "ISO 8601, or a native type; UTC."
        ),
    ] = "preprocessing_timestamp"

    def values(self) -> tuple[str, str, str]:
        """Return the source's names of uri, text and preprocessing_timestamp."""
        return self.uri, self.text, self.preprocessing_timestamp


class Backlog(Section, frozen=True, kw_only=True):
    """Where the posts are, and which of them to label."""

    source: Annotated[
        Text, key("A file, a folder or a glob: SQLite, DuckDB, Parquet, CSV or JSON Lines.")
    ]
    ignore: Annotated[
        tuple[Glob, ...],
        key(
            "Globs of files to leave out, relative to the source's folder: `drafts`, `*.json`, "
            "`**/*.bak`.",
            default="none",
            omit_default=True,
        ),
    ] = ()
    table: Annotated[Text | None, key("Table of a database.", default="the only one in it")] = None
    columns: Annotated[SourceColumns, key("What the source calls its columns.")] = SourceColumns()
    record_format: Annotated[
        str,
        one_of(RECORD_FORMATS),
        key(
            "Format of the records inside which a path such as `record.text` finds a value: "
            "`json`, or `python` for Python dict literals, such as `{'text': 'hello'}`.",
            omit_default=True,
        ),
    ] = JSON_RECORDS
    where: Annotated[
        Text | None,
        key(
            "A SQL condition on the rows of the source. In CSV and JSON, every column is text.",
            default="every row",
        ),
    ] = None
    ask_each_text_once: Annotated[
        bool,
        key(
            "Ask the classifier once about each text of a run, and copy the answer to the other "
            "posts with exactly that text.",
            omit_default=True,
        ),
    ] = True
    min_text_length: Annotated[
        Count,
        label_key(
            "Shorter texts (blanks and invisible characters stripped) are not classified and get "
            "the reason `text_too_short`.",
            unit="characters",
        ),
    ] = 5


class Sharding(Section, frozen=True, kw_only=True):
    """How posts are cut into shards.

    After the check, exactly one of `rows_per_shard` and `shards` is set.
    """

    rows_per_shard: Annotated[
        Positive | None,
        key("Posts of one shard.", default=f"{DEFAULT_ROWS_PER_SHARD:,}, unless `shards` is given"),
    ] = None
    target_minutes: Annotated[
        Duration | None,
        key(
            "How long a task should take for its shard. The size follows from how fast earlier "
            "tasks of the same configuration were, and from the quota; `rows_per_shard` is the "
            "size while neither is known.",
            unit="minutes",
            default="none: `rows_per_shard` is the size",
        ),
    ] = None
    shards: Annotated[
        Positive | None,
        key("Number of shards, in place of `rows_per_shard`.", default="none"),
    ] = None

    def __post_init__(self) -> None:
        """Reject both keys at once, and fill in the default of none."""
        if self.rows_per_shard and self.shards:
            raise Wrong("shards", "give either rows_per_shard or shards, not both")
        if self.target_minutes and self.shards:
            raise Wrong("shards", "give either target_minutes or shards, not both")
        if not self.rows_per_shard and not self.shards:
            force_setattr(self, "rows_per_shard", DEFAULT_ROWS_PER_SHARD)


class CheckpointSettings(Section, frozen=True, kw_only=True):
    """How often a task writes a checkpoint part: after a number of rows or seconds."""

    rows: Annotated[Positive, key("Write a part after this many new answers.")] = 500
    seconds: Annotated[Duration, key("Write a part after this long.", unit="seconds")] = 60.0


class StorageSection(Section, frozen=True, kw_only=True):
    """Where runs and labels go; relative to the working folder."""

    run_root: Annotated[Text, key("Folder of the runs.")] = "runs"
    database: Annotated[Text, key("DuckDB file of the labels.")] = "labels.duckdb"
    trust_group: Annotated[
        bool,
        key(
            "Accept that the folder's owner and other members of its group can write to runs, and "
            "so decide what your tasks run.",
            omit_default=True,
        ),
    ] = False
    layout: Annotated[
        str,
        one_of(LAYOUTS),
        key(
            "Where labels are kept: `duckdb`, in the database; or `parquet`, in Parquet files "
            "beside it, which the database shows as views. Labels that were gathered before move "
            "with `hpc gather --rebuild`.",
            omit_default=True,
        ),
    ] = DUCKDB
    memory_gb: MemoryGb = LOGIN_NODE.memory_gb
    threads: Threads = LOGIN_NODE.threads
    temporary_folder: TemporaryFolder = None

    def resolve(self, folder: Path | None = None) -> "Storage":
        """Return absolute paths.

        Args:
            folder: where relative paths of runs and labels begin; None: in the working folder.
        """
        here = Path.cwd() if folder is None else folder.absolute()
        return Storage(
            run_root=here / Path(self.run_root).expanduser(),
            database=here / Path(self.database).expanduser(),
            trust_group=self.trust_group,
            layout=self.layout,
            limits=SessionLimits(
                memory_gb=self.memory_gb,
                threads=self.threads,
                temporary_folder=_absolute_text(self.temporary_folder),
            ),
        )


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute paths of the folder of the runs and of the labels' DuckDB file."""

    run_root: Path
    database: Path
    trust_group: bool = False
    """Whether others may be able to write to the runs."""
    layout: str = DUCKDB
    """Whether labels are kept in the database, or in Parquet files beside it."""
    limits: SessionLimits = LOGIN_NODE
    """How much of the machine DuckDB may take."""


def _absolute_text(path: str | None) -> str | None:
    return str(Path(path).expanduser().absolute()) if path else None
