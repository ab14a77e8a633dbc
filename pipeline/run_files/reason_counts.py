"""Count the posts that have a reason instead of labels, by reason.

An output's footer holds the counts, so that `status` of 10,000 shards reads no rows. Of an output
that an older version wrote, Parquet's own statistics tell how many such posts there are, and the
reason if all have the same.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline import usage
from pipeline.late_imports import arrow_compute as pc
from pipeline.model import REASON

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

REASONS = "hpc.reasons"
"""The key of an output's footer."""
UNSPECIFIED = "unspecified"
"""Counts posts whose reason is only in their row."""
# A classifier may invent a new reason for each post; a footer is read at every look.
MOST_REASONS = 50
LONGEST_REASON = 100
_NO_COPIES: Mapping[str, int] = {}


def word_of(reason: str | None) -> str:
    """Return the word with which a reason begins; details follow after a colon."""
    word = (reason or "").partition(":")[0]
    return word[:LONGEST_REASON] or UNSPECIFIED


def count_reasons(rows: pa.Table, copies: Mapping[str, int] = _NO_COPIES) -> Counter[str]:
    """Return how many posts have no labels, by the word with which their reason begins.

    Args:
        rows: with `uri`, `was_successfully_labeled` and `reason`.
        copies: by uri, how many further posts have the row of a post.
    """
    unlabeled = rows.filter(pc.invert(rows["was_successfully_labeled"]))
    counts: Counter[str] = Counter()
    for pair in pc.value_counts(unlabeled[REASON.name]).to_pylist():
        counts[word_of(pair["values"])] += pair["counts"]
    if copies:
        reasons = unlabeled[REASON.name].to_pylist()
        for uri, reason in zip(unlabeled["uri"].to_pylist(), reasons, strict=True):
            counts[word_of(reason)] += copies.get(uri, 0)
    return counts


def most_frequent(counts: Counter[str]) -> dict[str, int]:
    """Return at most MOST_REASONS counts, the largest first; the rest is unspecified."""
    frequent = dict(counts.most_common(MOST_REASONS))
    if rest := counts.total() - sum(frequent.values()):
        frequent[UNSPECIFIED] = frequent.get(UNSPECIFIED, 0) + rest
    return frequent


def write_counts(rows: pa.Table) -> str:
    """Return the counts of these rows as the footer holds them."""
    return json.dumps(most_frequent(count_reasons(rows)))


def read_counts(footer: Mapping[str, str], metadata: "FileMetaData") -> dict[str, int] | None:
    """Return the counts of an output, by its footer alone; None if it does not show them.

    Args:
        footer: the texts in the output's footer.
        metadata: what Parquet says about its columns.
    """
    if REASONS in footer:
        try:
            values = json.loads(footer[REASONS])
        except (ValueError, RecursionError):
            values = None
        counts = usage.read_counts(values)
        if isinstance(values, dict) and len(counts) == len(values):
            return counts
    return _read_statistics(metadata)


def _read_statistics(metadata: "FileMetaData") -> dict[str, int] | None:
    names = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    if REASON.name not in names:
        return None
    number = names.index(REASON.name)
    groups = [metadata.row_group(group).column(number) for group in range(metadata.num_row_groups)]
    statistics = [group.statistics for group in groups]
    if any(each is None or not each.has_null_count for each in statistics):
        return None
    unlabeled = metadata.num_rows - sum(each.null_count for each in statistics)
    ends = {end for each in statistics if each.has_min_max for end in (each.min, each.max)}
    reason = ends.pop() if len(ends) == 1 else None
    return {word_of(reason): unlabeled} if unlabeled else {}
