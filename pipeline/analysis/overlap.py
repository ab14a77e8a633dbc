"""The posts that two names both labelled, and the values that they gave, column beside column."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from pipeline.database.label_tables import labels_table
from pipeline.model import ENVELOPE, PROVENANCE, Column, ColumnKind
from pipeline.sql import literal, quoted

# DuckDB's types of label columns; another package's classifier may have made narrower ones.
_KINDS = {
    **dict.fromkeys(("DOUBLE", "FLOAT"), ColumnKind.NUMBER),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT"), ColumnKind.INTEGER),
    "BOOLEAN": ColumnKind.FLAG,
    "VARCHAR": ColumnKind.TEXT,
}
NUMBERS = (ColumnKind.NUMBER, ColumnKind.INTEGER)


@dataclass(frozen=True, slots=True)
class Pair:
    """A column of A and one of B."""

    a: Column
    b: Column

    @property
    def kinds(self) -> tuple[str, str]:
        return self.a.kind, self.b.kind


@dataclass(frozen=True, slots=True)
class Presence:
    """How many posts have a value in both columns, and how many have none in A's, in B's."""

    both: int
    without_a: int
    without_b: int


def columns(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> dict[str, Column]:
    """The label columns of a name in an attached database, by their names; those of other types,
    such as counts of what an answer cost, are left out."""
    ours = {field.name for field in (*ENVELOPE, *PROVENANCE)}
    rows = connection.execute(f"DESCRIBE {_table(name, catalog)}").fetchall()
    return {
        row[0]: Column(row[0], _KINDS[row[1]])
        for row in rows
        if row[0] not in ours and row[1] in _KINDS
    }


def labelled(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> int:
    """Posts that are labelled under a name in an attached database."""
    query = f"SELECT count(*) FROM {_table(name, catalog)} WHERE was_successfully_labeled"
    return int(connection.execute(query).fetchall()[0][0])


class Overlap:
    """The values of pairs of columns, on the posts that both names labelled.

    Joined once, into a table of the connection's own: the attached database may be let go then.
    What is no finite number is no value. Pairs are asked for by their place in `pairs`.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        names: tuple[str, str],
        catalog: str,
        pairs: list[Pair],
    ) -> None:
        self._connection = connection
        self.pairs = pairs
        values = "".join(
            f", {_value(one, side)} AS {side}{at}"
            for at, pair in enumerate(pairs)
            for side, one in (("a", pair.a), ("b", pair.b))
        )
        a, b = (_table(name, catalog) for name in names)
        connection.execute(
            f"CREATE TABLE overlap AS SELECT a.model AS model_a, b.model AS model_b{values} "
            f"FROM {a} AS a JOIN {b} AS b ON a.uri = b.uri "
            "WHERE a.was_successfully_labeled AND b.was_successfully_labeled"
        )
        self.posts = self._number("count(*)")

    def models(self, side: str) -> dict[str, int]:
        """Which models A's or B's labels are from, and of how many posts."""
        return dict(self._rows(f"SELECT model_{side}, count(*) FROM overlap GROUP BY 1 ORDER BY 1"))

    def presence(self, at: int) -> Presence:
        return Presence(
            both=self._number(f"count(*) FILTER (a{at} IS NOT NULL AND b{at} IS NOT NULL)"),
            without_a=self._number(f"count(*) FILTER (a{at} IS NULL)"),
            without_b=self._number(f"count(*) FILTER (b{at} IS NULL)"),
        )

    def categories(self, at: int, side: str) -> list[str]:
        """The different values, as text, in order."""
        rows = self._rows(
            f"SELECT DISTINCT {side}{at}::VARCHAR FROM overlap {_both(at)} ORDER BY 1"
        )
        return [row[0] for row in rows]

    def crossed(self, at: int) -> list[tuple[str, str, int]]:
        """A's value, B's, and how many posts have them: both as text."""
        return self._rows(
            f"SELECT a{at}::VARCHAR, b{at}::VARCHAR, count(*) FROM overlap {_both(at)} GROUP BY ALL"
        )

    def arrays(self, at: int, categories: Mapping[str, list[str]]) -> tuple[Any, Any]:
        """Both columns as numpy arrays, in no order: numbers, or of a side with `categories` which
        of them it is."""
        sides = [
            f"list_position([{', '.join(map(literal, categories[side]))}], {side}{at}::VARCHAR) - 1"
            if side in categories
            else f"{side}{at}"
            for side in ("a", "b")
        ]
        found = self._connection.execute(
            f"SELECT {sides[0]} AS a, {sides[1]} AS b FROM overlap {_both(at)}"
        ).fetchnumpy()
        return found["a"], found["b"]

    def _number(self, what: str) -> int:
        return int(self._rows(f"SELECT {what} FROM overlap")[0][0])

    def _rows(self, query: str) -> list[Any]:
        return self._connection.execute(query).fetchall()


def _table(name: str, catalog: str) -> str:
    return f"{quoted(catalog)}.{quoted(labels_table(name))}"


def _value(column: Column, side: str) -> str:
    name = f"{side}.{quoted(column.name)}"
    if column.kind in NUMBERS:
        return f"CASE WHEN isfinite({name}::DOUBLE) THEN {name}::DOUBLE END"
    return name


def _both(at: int) -> str:
    return f"WHERE a{at} IS NOT NULL AND b{at} IS NOT NULL"
