"""Read the posts that two names both labeled, with the values of pairs of their columns."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from pipeline.analysis.gold.sample_design import SampleDesign, drawn_posts
from pipeline.database.label_tables import labels_table
from pipeline.model import ENVELOPE, KIND_TYPES, PROVENANCE, Column, ColumnKind
from pipeline.sql import fetch_number, literal, quoted

NUMBERS = (ColumnKind.NUMBER, ColumnKind.INTEGER)
# The kinds of label columns by DuckDB's types; a cost is no label. Classifiers of other packages
# may have written narrower types.
_KINDS = {
    "FLOAT": ColumnKind.NUMBER,
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER"), ColumnKind.INTEGER),
    **{types.duckdb: kind for kind, types in KIND_TYPES.items() if kind is not ColumnKind.COUNT},
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A column of A and one of B."""

    a: Column
    b: Column

    @property
    def kinds(self) -> tuple[ColumnKind, ColumnKind]:
        """Return the kinds of both columns."""
        return self.a.kind, self.b.kind


@dataclass(frozen=True, slots=True)
class Presence:
    """How many of the posts that both labeled have a value in a pair of columns."""

    both: int
    """Posts with a value in both columns."""
    without_a: int
    """Posts without a value in A's column."""
    without_b: int
    """Posts without a value in B's column."""


def label_columns(
    connection: duckdb.DuckDBPyConnection, name: str, catalog: str
) -> dict[str, Column]:
    """Return the label columns of a name in an attached database, by name.

    Columns of other types are left out, such as those that count what an answer cost.
    """
    rows = connection.execute(f"DESCRIBE {_table(name, catalog)}").fetchall()
    kinds = column_kinds([(row[0], row[1]) for row in rows])
    return {name: Column(name, kind) for name, kind in kinds.items()}


def column_kinds(columns: Iterable[tuple[str, str]]) -> dict[str, ColumnKind]:
    """Return the kinds of the label columns among columns of a table, by name.

    Args:
        columns: names and types, as DuckDB describes them.
    """
    envelope = {field.name for field in (*ENVELOPE, *PROVENANCE)}
    return {
        name: _KINDS[duckdb_type]
        for name, duckdb_type in columns
        if name not in envelope and duckdb_type in _KINDS
    }


def count_labeled(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> int:
    """Count the posts that are labeled under a name in an attached database."""
    query = f"SELECT count(*) FROM {_table(name, catalog)} WHERE was_successfully_labeled"
    return fetch_number(connection, query)


class Overlap:
    """The values of pairs of columns, for the posts that both names labeled.

    They are joined once, into a table of the connection's own, so that the attached database can
    be detached then. A number that is not finite counts as no value. Methods take the number of a
    pair in `pairs`.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        names: tuple[str, str],
        catalog: str,
        pairs: list[Pair],
        sample: SampleDesign | None = None,
    ) -> None:
        """Join the posts of two names in an attached database.

        Args:
            connection: which the database is attached to.
            names: A's and B's.
            catalog: the alias of the attached database.
            pairs: the columns to compare.
            sample: gives weights to its posts; without one, every post has the weight 1.
        """
        self._connection = connection
        self.pairs = pairs
        values = "".join(
            f", {value_of(column, side)} AS {side}{number}"
            for number, pair in enumerate(pairs)
            for side, column in (("a", pair.a), ("b", pair.b))
        )
        a, b = (_table(name, catalog) for name in names)
        weight, drawn = "1.0", ""
        if sample:
            weight = "drawn.weight"
            drawn = f"LEFT JOIN ({drawn_posts(sample, catalog)}) AS drawn ON drawn.uri = a.uri "
        connection.execute(
            f"CREATE TABLE overlap AS SELECT {weight} AS weight, a.model AS model_a, "
            "strftime(a.preprocessing_timestamp, '%Y-%m') AS month, "
            f"b.model AS model_b, a.config_hash AS hash_a, b.config_hash AS hash_b{values} "
            f"FROM {a} AS a JOIN {b} AS b ON a.uri = b.uri {drawn}"
            "WHERE a.was_successfully_labeled AND b.was_successfully_labeled"
        )
        self.posts = self._number("count(*)")

    def models(self, side: str) -> dict[str, int]:
        """Count the posts by the model that A's or B's labels come from."""
        return dict(self._rows(f"SELECT model_{side}, count(*) FROM overlap GROUP BY 1 ORDER BY 1"))

    def presence(self, number: int) -> Presence:
        """Count the posts that have a value in either column of a pair."""
        return Presence(
            both=self._number(f"count(*) FILTER (a{number} IS NOT NULL AND b{number} IS NOT NULL)"),
            without_a=self._number(f"count(*) FILTER (a{number} IS NULL)"),
            without_b=self._number(f"count(*) FILTER (b{number} IS NULL)"),
        )

    def categories(self, number: int, side: str) -> list[str]:
        """Return the distinct values of one side of a pair, as text, in order."""
        rows = self._rows(
            f"SELECT DISTINCT {side}{number}::VARCHAR FROM overlap {_both(number)} ORDER BY 1"
        )
        return [row[0] for row in rows]

    def cross_tabulate(self, number: int) -> list[tuple[str, str, int]]:
        """Return A's value, B's value, both as text, and how many posts have them."""
        return self._rows(
            f"SELECT a{number}::VARCHAR, b{number}::VARCHAR, count(*) FROM overlap "
            f"{_both(number)} GROUP BY ALL"
        )

    def arrays(self, number: int, categories: Mapping[str, list[str]]) -> tuple[Any, Any]:
        """Return both columns of a pair as numpy arrays, in no particular order.

        Args:
            number: the number of the pair.
            categories: by side; the array of such a side has the number of each post's category.
        """
        sides = [
            _category_number(f"{side}{number}", categories[side])
            if side in categories
            else f"{side}{number}"
            for side in ("a", "b")
        ]
        arrays = self._connection.execute(
            f"SELECT {sides[0]} AS a, {sides[1]} AS b FROM overlap {_both(number)}"
        ).fetchnumpy()
        return arrays["a"], arrays["b"]

    def config_hashes(self, side: str) -> tuple[str, ...]:
        """Return the labeling setups that A's or B's labels come from, in order."""
        rows = self._rows(f"SELECT DISTINCT hash_{side} FROM overlap ORDER BY 1")
        return tuple(str(row[0]) for row in rows)

    def agreement_by_month(self, number: int, agree: str) -> list[tuple[str, int, int]]:
        """Return each month of preprocessing, its posts, and those that meet a condition.

        Args:
            number: the number of a pair; only posts with both values count.
            agree: the condition, in SQL.
        """
        return self._rows(
            f"SELECT month, count(*), count(*) FILTER ({agree}) FROM overlap {_both(number)} "
            "AND month IS NOT NULL GROUP BY 1 ORDER BY 1"
        )

    def select(self, number: int, columns: str, grouped: str = "") -> dict[str, Any]:
        """Return SQL columns of a pair's posts that have both values, as numpy arrays by name.

        Posts without a weight, which are not in the sample, are left out.

        Args:
            number: the number of the pair.
            columns: what to select, such as `sum(weight) AS total`.
            grouped: the rest of the query, such as `GROUP BY month ORDER BY month`.
        """
        return dict(
            self._connection.execute(
                f"SELECT {columns} FROM overlap {_both(number)} AND weight IS NOT NULL {grouped}"
            ).fetchnumpy()
        )

    def _number(self, what: str) -> int:
        return fetch_number(self._connection, f"SELECT {what} FROM overlap")

    def _rows(self, query: str) -> list[Any]:
        return self._connection.execute(query).fetchall()


def _table(name: str, catalog: str) -> str:
    return f"{quoted(catalog)}.{quoted(labels_table(name))}"


def value_of(column: Column, side: str) -> str:
    """Return SQL for a column's value in a table; null for a number that is not finite."""
    name = f"{side}.{quoted(column.name)}"
    if column.kind in NUMBERS:
        return f"CASE WHEN isfinite({name}::DOUBLE) THEN {name}::DOUBLE END"
    return name


def _category_number(column: str, categories: list[str]) -> str:
    return f"list_position([{', '.join(map(literal, categories))}], {column}::VARCHAR) - 1"


def _both(number: int) -> str:
    return f"WHERE a{number} IS NOT NULL AND b{number} IS NOT NULL"
