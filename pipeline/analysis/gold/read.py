"""Read a classifier's labels beside gold: DuckDB counts, so that memory stays small.

Everything is read at once, into values, so that the database can be closed before the resampling.
"""

import shlex

import duckdb
import numpy as np

from pipeline.analysis.agreement import Array
from pipeline.analysis.calibration import BINS
from pipeline.analysis.gold.cells import Cells
from pipeline.analysis.gold.judgement import (
    Coding,
    ErrorSums,
    Judgement,
    Months,
    ScoreBins,
    StratumCounts,
)
from pipeline.analysis.gold.results import NotJudged
from pipeline.analysis.gold.sample_design import SampleDesign, drawn_posts
from pipeline.analysis.measures import MOST_CATEGORIES, USUAL_THRESHOLD
from pipeline.analysis.options import Bins, CompareOptions
from pipeline.analysis.overlap import NUMBERS, Pair, value_of
from pipeline.database.label_tables import labels_table
from pipeline.messages.options import THRESHOLD
from pipeline.model import Column, ColumnKind
from pipeline.sql import fetch_number, literal, quoted

# Up to this many coded posts of a stratum are resampled one by one. The means of more than that are
# normally distributed.
MOST_ROWS = 5_000
_FLAGS = ("false", "true")
# How many values a sentence lists.
_MOST_NAMED = 5
_VECTOR = ("weight", "weight * abs(m - g)", "weight * (m - g)", "weight * g")


class JudgedPosts:
    """The posts of a classifier that gold has, or could have: one table for all pairs of columns.

    A pair's `a` is the classifier's column, and its `b` gold's.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        names: tuple[str, str],
        catalog: str,
        pairs: list[Pair],
        sample: SampleDesign | None,
    ) -> None:
        """Join the posts of a classifier and gold, of an attached database.

        Args:
            connection: which the database is attached to.
            names: the classifier's and gold's.
            catalog: the alias of the attached database.
            pairs: the columns to read.
            sample: the sample that was coded; without one every coded post has the weight 1.
        """
        self._connection = connection
        self._model = f"{quoted(catalog)}.{quoted(labels_table(names[0]))}"
        gold = f"{quoted(catalog)}.{quoted(labels_table(names[1]))}"
        self._has_sample = sample is not None
        self.pairs = pairs
        values = "".join(
            f", {value_of(pair.a, 'model')} AS m{number}, {value_of(pair.b, 'gold')} AS g{number}"
            for number, pair in enumerate(pairs)
        )
        drawn = (
            drawn_posts(sample, catalog)
            if sample
            else "SELECT uri, '' AS stratum, 1.0 AS weight, 0.0 AS inclusion_probability "
            f"FROM {gold}"
        )
        connection.execute(
            "CREATE OR REPLACE TABLE judged AS SELECT stratum, weight, inclusion_probability, "
            f"strftime(model.preprocessing_timestamp, '%Y-%m') AS month{values} "
            f"FROM ({drawn}) AS drawn "
            f"LEFT JOIN (FROM {self._model} WHERE was_successfully_labeled) AS model "
            "ON model.uri = drawn.uri "
            f"LEFT JOIN (FROM {gold} WHERE was_successfully_labeled) AS gold "
            "ON gold.uri = drawn.uri"
        )

    def read(self, number: int, options: CompareOptions) -> Judgement | NotJudged:
        """Read the pair of columns with this number."""
        pair = self.pairs[number]
        strata = self._read_strata(number)
        self._keep_coded(number)
        coding = self._choose_coding(pair, number, options)
        if isinstance(coding, str):
            return NotJudged(pair.a.name, pair.b.name, coding)
        both_numbers = pair.a.kind in NUMBERS and pair.b.kind in NUMBERS
        codes = None if coding is None else _codes(coding, pair)
        fractions = np.array([stratum.fraction for stratum in strata if stratum.coded])
        has_bins = coding and coding.positive is not None and pair.a.kind in NUMBERS
        return Judgement(
            model=pair.a,
            gold=pair.b,
            strata=strata,
            without_model=fetch_number(
                self._connection,
                f"SELECT count(*) FROM judged WHERE m{number} IS NULL AND g{number} IS NOT NULL",
            ),
            coding=coding,
            cells=self._cells(*codes, len(coding.labels), fractions) if coding and codes else None,
            errors=self._read_errors() if both_numbers else None,
            population=self._count_population(pair.a, coding) if coding else (),
            population_mean=self._population_mean(pair.a) if both_numbers else None,
            bins=self._read_bins(codes[0], fractions, options.bins) if codes and has_bins else None,
            months=self._read_months(codes, fractions) if codes else None,
        )

    def _read_strata(self, number: int) -> tuple[StratumCounts, ...]:
        """Return the strata, and keep them with the factor that makes up for uncoded posts."""
        self._connection.execute(
            "CREATE OR REPLACE TABLE strata AS SELECT stratum, "
            f"count(*) AS sampled, count(g{number}) AS coded, sum(weight) AS weight, "
            f"sum(weight) / sum(weight) FILTER (g{number} IS NOT NULL) AS factor, "
            f"avg(inclusion_probability) * count(g{number}) / count(*) AS fraction, "
            f"coalesce(sum(weight) FILTER (g{number} IS NOT NULL) ** 2 "
            f"/ sum(weight * weight) FILTER (g{number} IS NOT NULL), 0) AS effective "
            f"FROM judged WHERE m{number} IS NOT NULL GROUP BY stratum"
        )
        rows = self._connection.execute(
            "SELECT stratum, sampled, coded, weight, fraction, effective FROM strata "
            "ORDER BY stratum"
        ).fetchall()
        return tuple(
            StratumCounts(
                name=name,
                sampled=sampled,
                coded=coded,
                weight=weight,
                fraction=min(1.0, fraction),
                effective=effective,
            )
            for name, sampled, coded, weight, fraction, effective in rows
        )

    def _keep_coded(self, number: int) -> None:
        """Keep the coded posts of a pair, with the number of their stratum and their weight.

        The coded posts of a stratum stand for those that were drawn and not coded.
        """
        self._connection.execute(
            f"CREATE OR REPLACE TABLE coded AS SELECT numbered.number AS stratum, "
            f"judged.weight * factor AS weight, month, m{number} AS m, g{number} AS g FROM judged "
            "JOIN (SELECT *, row_number() OVER (ORDER BY stratum) - 1 AS number FROM strata "
            "WHERE coded > 0) AS numbered USING (stratum) "
            f"WHERE m{number} IS NOT NULL AND g{number} IS NOT NULL"
        )

    def _choose_coding(
        self, pair: Pair, number: int, options: CompareOptions
    ) -> Coding | str | None:
        """Return how values become categories, why they cannot, or None for mere numbers."""
        numbers = [side for side, kind in zip("mg", pair.kinds, strict=True) if kind in NUMBERS]
        if not numbers:
            return self._choose_categories(pair, number)
        kinds = set(pair.kinds) - set(NUMBERS)
        if ColumnKind.TEXT in kinds:
            return "one column has numbers and the other has texts"
        threshold = options.threshold
        if threshold is None and all(map(self._are_shares, numbers)):
            threshold = USUAL_THRESHOLD
        if threshold is not None:
            labels = _FLAGS if kinds else (f"< {threshold:g}", f">= {threshold:g}")
            return Coding(labels=labels, positive=1, threshold=threshold)
        if kinds:
            return (
                "the numbers are not all between 0 and 1, so it is not known from where on they "
                f"are positive. Say so with {THRESHOLD.usage('NUMBER')}"
            )
        return None

    def _are_shares(self, side: str) -> bool:
        low, high = self._connection.execute(
            f"SELECT min({side}), max({side}) FROM coded"
        ).fetchall()[0]
        return low is None or bool(low >= 0 and high <= 1)

    def _choose_categories(self, pair: Pair, number: int) -> Coding | str:
        if set(pair.kinds) == {ColumnKind.FLAG}:
            return Coding(labels=_FLAGS, positive=1)
        model = self._distinct(f"(SELECT {quoted(pair.a.name)} AS value FROM {self._model} "
                               "WHERE was_successfully_labeled)")  # fmt: skip
        gold = self._distinct(f"(SELECT g{number} AS value FROM judged)")
        for side, found in (("the classifier", model), ("gold", gold)):
            if len(found) > MOST_CATEGORIES:
                return (
                    f"{side} has more than {MOST_CATEGORIES} different values, so it is free text"
                )
        if model and gold and not {*model} & {*gold}:
            values = "bool" if pair.a.kind is ColumnKind.FLAG else "|".join(sorted(model))
            return (
                f"they have no value in common: the classifier says {_some(model)}, and gold says "
                f"{_some(gold)}. Pair columns with the same values, or let people code the "
                f"classifier's: hpc sample --labels {shlex.quote(f'{pair.a.name}:{values}')}"
            )
        return Coding(labels=tuple(sorted({*model, *gold})), positive=None)

    def _distinct(self, values: str) -> list[str]:
        rows = self._connection.execute(
            f"SELECT DISTINCT value::VARCHAR FROM {values} WHERE value IS NOT NULL "
            f"LIMIT {MOST_CATEGORIES + 1}"
        ).fetchall()
        return [row[0] for row in rows]

    def _cells(self, gold: str, model: str, categories: int, fractions: Array) -> Cells:
        return self._count(f"({gold}) * {categories} + ({model})", (categories,) * 2, fractions)

    def _count(self, place: str, shape: tuple[int, int], fractions: Array) -> Cells:
        """Return the coded posts by stratum, weight and a place in a table."""
        cells = self._connection.execute(
            f"SELECT stratum, weight, ({place})::BIGINT AS place, count(*) AS posts FROM coded "
            "GROUP BY ALL ORDER BY ALL"
        ).fetchnumpy()
        return Cells(
            strata=np.asarray(cells["stratum"], dtype=np.int64),
            weights=np.asarray(cells["weight"], dtype=np.float64),
            places=np.asarray(cells["place"], dtype=np.int64),
            counts=np.asarray(cells["posts"], dtype=np.int64),
            shape=shape,
            fractions=fractions,
        )

    def _count_population(self, column: Column, coding: Coding) -> tuple[int, ...]:
        """Return how many posts of the classifier are in each category, in the whole database."""
        rows = self._connection.execute(
            f"SELECT {_code('m', column, coding)} AS code, count(*) FROM "
            f"(SELECT {value_of(column, 'model')} AS m FROM {self._model} AS model "
            "WHERE was_successfully_labeled) WHERE m IS NOT NULL GROUP BY 1"
        ).fetchall()
        counts = dict(rows)
        return tuple(int(counts.get(code, 0)) for code in range(len(coding.labels)))

    def _population_mean(self, column: Column) -> tuple[int, float] | None:
        posts, mean = self._connection.execute(
            f"SELECT count(m), avg(m) FROM (SELECT {value_of(column, 'model')} AS m "
            f"FROM {self._model} AS model WHERE was_successfully_labeled)"
        ).fetchall()[0]
        return (posts, mean) if posts else None

    def _read_errors(self) -> tuple[ErrorSums, ...]:
        products = ", ".join(
            f"sum(({_VECTOR[i]}) * ({_VECTOR[j]}))" for i in range(4) for j in range(i + 1)
        )
        sums = ", ".join(f"sum({value})" for value in _VECTOR)
        rows = self._connection.execute(
            f"SELECT stratum, count(*), {sums}, {products} FROM coded GROUP BY 1 ORDER BY 1"
        ).fetchall()
        return tuple(
            self._read_rows(stratum)
            if posts <= MOST_ROWS
            else _from_sums(posts, np.array(rest[:4]), np.array(rest[4:]))
            for stratum, posts, *rest in rows
        )

    def _read_rows(self, stratum: int) -> ErrorSums:
        vector = ", ".join(f"{value} AS v{i}" for i, value in enumerate(_VECTOR))
        found = self._connection.execute(
            f"SELECT {vector} FROM coded WHERE stratum = ? ORDER BY ALL",
            [stratum],
        ).fetchnumpy()
        rows = np.stack([np.asarray(found[f"v{i}"], dtype=np.float64) for i in range(4)], axis=1)
        covariance = np.cov(rows, rowvar=False) if len(rows) > 1 else np.zeros((4, 4))
        return ErrorSums(posts=len(rows), mean=rows.mean(axis=0), covariance=covariance, rows=rows)

    def _read_bins(self, gold: str, fractions: Array, kind: Bins) -> ScoreBins | None:
        if not self._are_shares("m"):
            return None
        edges = np.linspace(0, 1, BINS + 1)
        if kind == "quantile":
            shares = ", ".join(repr(float(edge)) for edge in edges)
            found = self._connection.execute(
                f"SELECT quantile_cont(m, [{shares}]) FROM coded"
            ).fetchall()[0][0]
            edges = np.array(found) if found else edges
        whens = " ".join(
            f"WHEN m <= {float(edge)!r} THEN {number}" for number, edge in enumerate(edges[1:-1])
        )
        bin_ = f"CASE {whens} ELSE {BINS - 1} END"
        means = np.full(BINS, np.nan)
        for number, mean in self._connection.execute(
            f"SELECT {bin_}, sum(weight * m) / sum(weight) FROM coded GROUP BY 1"
        ).fetchall():
            means[number] = mean
        return ScoreBins(
            edges=tuple(map(float, edges)),
            means=means,
            cells=self._count(f"{bin_} * 2 + ({gold})", (BINS, 2), fractions),
        )

    def _read_months(self, codes: tuple[str, str], fractions: Array) -> Months:
        months = tuple(
            row[0]
            for row in self._connection.execute(
                "SELECT DISTINCT month FROM coded WHERE month IS NOT NULL ORDER BY 1"
            ).fetchall()
        )
        month = _position("month", months)
        place = f"{month} * 2 + ({codes[0]} = {codes[1]})::INTEGER"
        return Months(names=months, cells=self._count(place, (len(months), 2), fractions))


def _some(values: list[str]) -> str:
    """Return some words for a sentence."""
    more = len(values) - _MOST_NAMED
    return ", ".join(sorted(values)[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _from_sums(posts: int, sums: Array, products: Array) -> ErrorSums:
    """Return the moments of a large stratum from sums and sums of products."""
    mean = sums / posts
    covariance = np.zeros((4, 4))
    covariance[np.tril_indices(4)] = products
    covariance = covariance + np.tril(covariance, -1).T
    covariance = (covariance - posts * np.outer(mean, mean)) / (posts - 1)
    return ErrorSums(posts=posts, mean=mean, covariance=covariance)


def _codes(coding: Coding, pair: Pair) -> tuple[str, str]:
    """Return SQL for the number of gold's and of the classifier's category."""
    return _code("g", pair.b, coding), _code("m", pair.a, coding)


def _code(value: str, column: Column, coding: Coding) -> str:
    if column.kind in NUMBERS:
        return f"({value} >= {coding.threshold!r}::DOUBLE)::INTEGER"
    return _position(value, coding.labels if coding.threshold is None else _FLAGS)


def _position(value: str, names: tuple[str, ...]) -> str:
    return f"(list_position([{', '.join(map(literal, names))}]::VARCHAR[], {value}::VARCHAR) - 1)"
