"""Posts, labels and runs as values; everything here is frozen and compares by content."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

# The reason of a post that is not worth asking about: nothing was paid for it.
TOO_SHORT = "text_too_short"

LabelValue = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Post:
    """One post to label. `uri` is the only identity; row order never is."""

    uri: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one post: label values by column, or the reason why there are none.

    `facts` are columns that hold either way, such as the tokens that were used; `raw` is the
    service's response as it came, kept where the classifier's `keep_raw` says so.
    """

    uri: str
    values: Mapping[str, LabelValue] | None = None
    reason: str | None = None
    facts: Mapping[str, LabelValue] = field(default_factory=dict)
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a classifier. `kind` is text, number, integer, flag or count.

    A `fact` is no label: it holds without one, and is unknown in what a version of the classifier
    wrote that did not know it yet. A count is one that says what an answer cost, such as tokens:
    it may be left out where it is not known, and is summed up for `status`. Unsigned, by which a
    database tells it from a label.
    """

    name: str
    kind: str
    fact: bool = False

    def arrow(self) -> pa.Field:
        return pa.field(self.name, _ARROW[self.kind])


COUNT = "count"
LARGEST_COUNT = 2**32 - 1

_ARROW = {
    "text": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "flag": pa.bool_(),
    COUNT: pa.uint32(),
}

UTC_TIMESTAMP = pa.timestamp("us")

SHARD_SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("preprocessing_timestamp", UTC_TIMESTAMP, nullable=False),
    ]
)

ENVELOPE = [
    *SHARD_SCHEMA,
    pa.field("was_successfully_labeled", pa.bool_(), nullable=False),
    pa.field("reason", pa.string()),
    pa.field("label_timestamp", UTC_TIMESTAMP, nullable=False),
]

# In checkpoint parts; published beside the output, never among the labels.
RAW = pa.field("response", pa.string())
RAW_SCHEMA = pa.schema([ENVELOPE[0], ENVELOPE[-1], RAW])  # uri, label_timestamp, response

PROVENANCE = [
    pa.field("run_id", pa.string(), nullable=False),
    pa.field("shard_index", pa.int32(), nullable=False),
    pa.field("attempt", pa.int32(), nullable=False),
    pa.field("model", pa.string(), nullable=False),
    pa.field("config_hash", pa.string(), nullable=False),
]

SUPERSEDED_AT = "superseded_at"  # of a row that was replaced, in `superseded_<name>`

# What no label column may be called: two of one name in a part or a table are none that can be
# read. In lower case, as DuckDB compares names.
RESERVED = frozenset({*(field.name for field in (*ENVELOPE, *PROVENANCE, RAW)), SUPERSEDED_AT})


def output_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """An output's columns: the lab's envelope, the classifier's labels, where they came from."""
    return pa.schema([*ENVELOPE, *(column.arrow() for column in columns), *PROVENANCE])


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One input file of a run. Timestamps are ISO 8601 text, UTC."""

    index: int
    posts: int
    sha256: str
    min_preprocessing_timestamp: str
    max_preprocessing_timestamp: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkOrder:
    """All that crosses to a node: strings and numbers.

    `attempt` is the submission's number; `array_task_index` the shard's index within its array
    (the same, unless the run needed more than one array). `crashed` lists the shard's earlier
    attempts that crashed, as "1,3": the posts that they had in hand are suspects.
    """

    run_dir: str
    shard_index: int
    array_task_index: int
    attempt: int
    parallel_tasks: int
    crashed: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """In an output's footer: what the output is the answer to. Equal receipts, same question."""

    run_id: str
    shard_index: int
    input_sha256: str

    def metadata(self) -> dict[str, str]:
        return {
            "hpc.run_id": self.run_id,
            "hpc.shard_index": str(self.shard_index),
            "hpc.input_sha256": self.input_sha256,
        }


JsonObject = dict[str, Any]
