"""Find which columns of a name can be compared with those of gold, where none share a name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc.comparison.columns import NOT_LABELS
from pipeline.analysis.overlap import label_columns
from pipeline.database import duckdb_file, label_tables
from pipeline.database.duckdb_file import SHORT_PATIENCE, HeldDatabaseError
from pipeline.model import Column, ColumnKind


@dataclass(frozen=True, kw_only=True, slots=True)
class PairHint:
    """How a comparison of a name with gold pairs their columns."""

    is_needed: bool = False
    """Whether no column has the same name in both, so that a person has to pair them."""
    pairs: tuple[str, ...] = ()
    """The pairs that are possible then, as `a=b`."""


def suggest_pairs(database: Path, name: str, gold: str) -> PairHint:
    """Return how to pair the columns of a name and gold. Unknown columns need no pairs.

    Args:
        database: where both are gathered; it may be in use, or lack one of them.
        name: of the classifier's labels.
        gold: of the human labels.

    Raises:
        RunError: the database is damaged, or of another program.
    """
    try:
        with duckdb_file.open_database(database, read_only=True, patience=SHORT_PATIENCE) as labels:
            ((catalog,),) = labels.execute("SELECT current_database()").fetchall()
            there = label_tables.names(labels, catalog)
            if name not in there or gold not in there:
                return PairHint()
            of_name, of_gold = (
                [
                    column
                    for column in label_columns(labels, each, catalog).values()
                    if column.name not in NOT_LABELS
                ]
                for each in (name, gold)
            )
    except HeldDatabaseError:
        return PairHint()
    return pair_columns(of_name, of_gold)


def pair_columns(of_name: Sequence[Column], of_gold: Sequence[Column]) -> PairHint:
    """Return how to pair label columns: texts with texts, and numbers and flags with each other."""
    if {column.name for column in of_name} & {column.name for column in of_gold}:
        return PairHint()
    pairs = tuple(
        f"{a.name}={b.name}"
        for b in of_gold
        for a in of_name
        if (a.kind is ColumnKind.TEXT) == (b.kind is ColumnKind.TEXT)
    )
    return PairHint(is_needed=True, pairs=pairs)
