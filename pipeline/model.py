"""Define posts, answers, label columns and work orders: frozen values, compared by content."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from pipeline.config.keys import Section, key

# The reasons of posts that are never sent: nothing is paid for them.
NO_TEXT = "no_text"
INVALID_TEXT = "invalid_text"
TOO_SHORT = "text_too_short"
UNSENT = (NO_TEXT, INVALID_TEXT, TOO_SHORT)

LabelValue = str | float | int | bool | None


# These two are no dataclasses, because a task makes one of each per post: a frozen dataclass takes
# five times as long to make. Posts hold only texts, so the garbage collector need not look at them.
class Post(msgspec.Struct, frozen=True, gc=False):
    """One post to label. `uri` is its only identity; row order never is."""

    uri: str
    text: str


class Answer(msgspec.Struct, frozen=True):
    """What a classifier found out about one post: labels, or the reason why there are none."""

    uri: str
    values: Mapping[str, LabelValue] | None = None
    """The label values by column; None if the post could not be labeled."""
    reason: str | None = None
    """Why the post could not be labeled; None if it was."""
    facts: Mapping[str, LabelValue] = msgspec.field(default_factory=dict)
    """Columns that hold a value either way, such as the tokens that were used."""
    raw: str | None = None
    """The service's response, unchanged; kept if the classifier's `keep_raw` says so."""


class ColumnKind(StrEnum):
    """The type of a label column's values."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    FLAG = "flag"
    COUNT = "count"
    """What an answer cost, such as tokens. May be missing; summed up for `status`."""


class KindTypes(msgspec.Struct, frozen=True, kw_only=True):
    """How Python, Arrow and DuckDB hold the values of one kind of column."""

    python: tuple[type, ...]
    arrow: pa.DataType
    duckdb: str
    """The type's name as DuckDB's DESCRIBE prints it."""
    limit: float = sys.float_info.max
    """Absolute values must be below this."""


KIND_TYPES = {
    ColumnKind.TEXT: KindTypes(python=(str,), arrow=pa.string(), duckdb="VARCHAR"),
    ColumnKind.NUMBER: KindTypes(python=(int, float), arrow=pa.float64(), duckdb="DOUBLE"),
    ColumnKind.INTEGER: KindTypes(python=(int,), arrow=pa.int64(), duckdb="BIGINT", limit=2**63),
    ColumnKind.FLAG: KindTypes(python=(bool,), arrow=pa.bool_(), duckdb="BOOLEAN"),
    # Unsigned, so that a database can tell a cost from a label.
    ColumnKind.COUNT: KindTypes(python=(int,), arrow=pa.uint32(), duckdb="UINTEGER", limit=2**32),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column that a classifier adds to an output."""

    name: str
    kind: ColumnKind
    fact: bool = False
    """Whether the column is no label but holds a value without one too.

    Parts that an older version of the classifier wrote may lack a fact; it is unknown there.
    """

    def arrow(self) -> pa.Field:
        """Return the column as a field of an Arrow schema."""
        return pa.field(self.name, KIND_TYPES[self.kind].arrow)


UTC_TIMESTAMP = pa.timestamp("us")

POST_COLUMNS = [
    pa.field("uri", pa.string(), nullable=False),
    pa.field("text", pa.string(), nullable=False),
    pa.field("preprocessing_timestamp", UTC_TIMESTAMP, nullable=False),
]
REASON = pa.field("reason", pa.string())

# `reason` says why a post is not sent: NO_TEXT or INVALID_TEXT; null for all others. Shards that an
# older version wrote do not have this column.
SHARD_SCHEMA = pa.schema([*POST_COLUMNS, REASON])

ENVELOPE = [
    *POST_COLUMNS,
    pa.field("was_successfully_labeled", pa.bool_(), nullable=False),
    REASON,
    pa.field("label_timestamp", UTC_TIMESTAMP, nullable=False),
]

# The post of the same shard whose answer was copied, because its text is the same; null for a post
# that got an answer of its own. Outputs that an older version wrote do not have this column.
COPIED_FROM = pa.field("copied_from", pa.string())

# Responses are kept in checkpoint parts and published beside the output, never among the labels.
RAW = pa.field("response", pa.string())
RAW_SCHEMA = pa.schema([ENVELOPE[0], ENVELOPE[-1], RAW])  # uri, label_timestamp, response

PROVENANCE = [
    pa.field("run_id", pa.string(), nullable=False),
    pa.field("shard_index", pa.int32(), nullable=False),
    pa.field("attempt", pa.int32(), nullable=False),
    pa.field("model", pa.string(), nullable=False),
    pa.field("config_hash", pa.string(), nullable=False),
    COPIED_FROM,
]

# When a row was replaced, in table `superseded_<name>`.
SUPERSEDED_AT = "superseded_at"

# DuckDB's number of a row in its table. A column of that name would hide it.
ROWID = "rowid"

# The names that no label column may have: a part or a table with two columns of one name cannot
# be read. In lower case, as DuckDB compares names.
RESERVED = frozenset(
    {*(field.name for field in (*ENVELOPE, *PROVENANCE, RAW)), SUPERSEDED_AT, ROWID}
)


def output_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """Return an output's columns: the lab's envelope, the labels, and their provenance."""
    return pa.schema([*ENVELOPE, *(column.arrow() for column in columns), *PROVENANCE])


# A sum over all shards fits 64 bits.
ShardPosts = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class Shard(Section, frozen=True, kw_only=True):
    """One input file of a run. Timestamps are ISO 8601 text in UTC."""

    index: int
    posts: ShardPosts
    sha256: str
    min_preprocessing_timestamp: str
    max_preprocessing_timestamp: str
    copies: Annotated[ShardPosts, key("Posts that get another's answer.", omit_default=True)] = 0
    """The posts with the text of an earlier post of the shard, if the run asks about it once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkOrder:
    """All that a task is given on a node: strings and numbers."""

    run_dir: str
    shard_index: int
    array_task_index: int
    """The shard's index within its array: `shard_index`, unless a run needs several arrays."""
    attempt: int
    """The number of the submission."""
    parallel_tasks: int
    """How many tasks of the run may be at work at once, this one included."""
    crashed: str = ""
    """The shard's earlier attempts that crashed, such as "1,3": they name the suspects."""
    amendments: int = 0
    """How many of the run's amendments hold for this attempt; later ones do not."""

    def __setstate__(self, state: Sequence[object]) -> None:
        """Fill in what an order lacks that an earlier version pickled, and that still waits."""
        for number, declared in enumerate(fields(self)):
            value = state[number] if number < len(state) else declared.default
            object.__setattr__(self, declared.name, value)


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Identifies, in an output's footer, the run, shard and input that the output answers."""

    run_id: str
    shard_index: int
    input_sha256: str

    def metadata(self) -> dict[str, str]:
        """Return the receipt as keys and values of a Parquet footer."""
        return {
            "hpc.run_id": self.run_id,
            "hpc.shard_index": str(self.shard_index),
            "hpc.input_sha256": self.input_sha256,
        }


JsonObject = dict[str, Any]


def as_object(value: Any) -> JsonObject:
    """Return a value if it is a JSON object; an empty object for any other value."""
    return value if isinstance(value, dict) else {}
