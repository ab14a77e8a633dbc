"""Join outputs into batches, each of which is written in one transaction."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.database import label_tables
from pipeline.run_files.output import OutputCheck

# A batch's outputs are in memory at once. One pass over the labels' table looks for their posts, so
# small batches would read a large table many times.
BATCH_ROWS = 500_000
BATCH_BYTES = 128 << 20
JOIN_OUTPUTS = 256


@dataclass(frozen=True, slots=True)
class Output:
    """The verified output of a shard."""

    index: int
    check: OutputCheck
    labels: pa.Table


@dataclass(slots=True)
class Batch:
    """Outputs that are written in one transaction."""

    checks: dict[int, OutputCheck] = field(default_factory=dict)
    """By the shard's index."""
    rows: int = 0
    size: int = 0
    _joined: list[pa.Table] = field(default_factory=list)
    _apart: list[pa.Table] = field(default_factory=list)

    def add(self, each: Output) -> None:
        """Add an output."""
        self.checks[each.index] = each.check
        self.rows += each.labels.num_rows
        self.size += each.labels.nbytes
        self._apart.append(each.labels)
        # A small output takes a hundred times the memory of its rows until it is joined to others.
        if len(self._apart) >= JOIN_OUTPUTS:
            self._joined += label_tables.join_outputs(self._apart)
            self._apart = []

    def tables(self) -> list[pa.Table]:
        """Return the rows, those with the same columns as one table."""
        return label_tables.join_outputs([*self._joined, *self._apart])


def batches(gathered: Iterable[Output]) -> Iterator[Batch]:
    """Yield outputs in batches that fit into memory."""
    batch = Batch()
    for each in gathered:
        batch.add(each)
        if batch.rows >= BATCH_ROWS or batch.size >= BATCH_BYTES:
            yield batch
            batch = Batch()
    if batch.checks:
        yield batch
