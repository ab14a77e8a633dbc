"""Choose the names and the columns to compare."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from hpc.comparison.request import LABELS
from hpc.runs.unusable_runs import UnusableRun, find_unusable
from pipeline.analysis.overlap import Pair, label_columns
from pipeline.database import history, label_tables
from pipeline.errors import InputError
from pipeline.messages.options import PAIRS
from pipeline.model import Column
from pipeline.sql import quoted
from pipeline.text import did_you_mean

# Columns about the answer, not labels: compared only where --map asks for them. The models are
# shown for each side anyway.
NOT_LABELS = frozenset(
    {"llm_model_name", "moderation_model", "attributes_not_supported", "was_truncated"}
)


class UnpairedColumns(InputError):
    """Two names have no label column in common, and no pair of columns was named."""

    def __init__(self, fact: str) -> None:
        """Keep the fact; the message adds the remedy."""
        self.fact = fact
        super().__init__(f"{fact}; pair their columns with {PAIRS.usage('a=b')}")


def check_names(
    connection: duckdb.DuckDBPyConnection, chosen: Sequence[str], database: Path
) -> None:
    """Raise InputError for a name that has no labels in the attached database."""
    names = label_tables.names(connection, LABELS)
    for name in chosen:
        if name not in names:
            raise InputError(
                f"{database} has no labels of the name {name}{did_you_mean(name, names)}; "
                f"it has: {', '.join(names) or 'none'}"
            )


def newest_run_time(connection: duckdb.DuckDBPyConnection, chosen: Sequence[str]) -> datetime:
    """Return when the newest run of some names was created (UTC); now where none has a run.

    Until then, `hpc report` shows times of posts.
    """
    ((newest,),) = connection.execute(
        f"SELECT max(created_at) FROM {quoted(LABELS)}.runs WHERE list_contains(?, name)",
        [list(chosen)],
    ).fetchall()
    return newest or datetime.now(UTC).replace(tzinfo=None)


def choose_pairs(
    connection: duckdb.DuckDBPyConnection, names: tuple[str, str], named: Sequence[str]
) -> list[Pair]:
    """Return the columns that two names share, then the pairs that are named.

    Args:
        connection: has the labels attached.
        names: the two names, A and B.
        named: pairs of columns, as `a=b`.

    Raises:
        InputError: a named column does not exist, or there is no column to compare.
    """
    of_a, of_b = (label_columns(connection, name, LABELS) for name in names)
    chosen = {(name, name): None for name in of_a if name in of_b and name not in NOT_LABELS}
    for pair in named:
        a, equals, b = pair.partition("=")
        if not equals:
            raise InputError(
                f"{PAIRS.set_to(pair)}: should be a=b, a column of A and a column of B"
            )
        for column, columns, name in ((a, of_a, names[0]), (b, of_b, names[1])):
            if column not in columns:
                raise InputError(
                    f"{PAIRS.set_to(pair)}: {name} has no column {column!r}"
                    f"{did_you_mean(column, tuple(columns))}; it has: {_list_names(columns)}"
                )
        chosen[a, b] = None
    if not chosen:
        raise UnpairedColumns(
            f"{names[0]} ({_list_names(of_a, NOT_LABELS)}) and {names[1]} "
            f"({_list_names(of_b, NOT_LABELS)}) have no label column of the same name"
        )
    return [Pair(of_a[a], of_b[b]) for a, b in chosen]


def pairs_for(
    connection: duckdb.DuckDBPyConnection, name: str, names: Sequence[str], pairs: Sequence[str]
) -> list[str]:
    """Return the pairs that apply to `name`: drop those whose column only another name has.

    A pair with a column that none of the names has stays, so that `choose_pairs` rejects it.

    Args:
        connection: has the labels attached.
        name: one of `names`.
        names: all names that are compared with the same human labels.
        pairs: pairs of columns, as `a=b`.
    """
    own = label_columns(connection, name, LABELS)
    elsewhere = {
        column
        for other in names
        if other != name
        for column in label_columns(connection, other, LABELS)
    }
    return [
        pair
        for pair in pairs
        if (column := pair.partition("=")[0]) in own or column not in elsewhere
    ]


def unusable_runs(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[UnusableRun]:
    """Return unreadable runs in the folders of these names' recorded runs."""
    return [
        unusable
        for root in history.run_roots(connection, LABELS, names)
        for unusable in find_unusable(root)
        if any(map(unusable.may_be_of, names))
    ]


def _list_names(columns: dict[str, Column], without: frozenset[str] = frozenset()) -> str:
    return ", ".join(name for name in columns if name not in without) or "none"
