"""Find the sample that gold was coded on, with each post's weight and stratum."""

from dataclasses import dataclass

import duckdb

from pipeline.database.label_tables import labels_table
from pipeline.errors import InputError, RunError
from pipeline.messages.options import SAMPLE
from pipeline.sql import fetch_number, literal, quoted
from pipeline.text import did_you_mean


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleDesign:
    """A sample with known probabilities."""

    name: str
    sampled: int
    """How many posts were drawn; of identical texts only one."""
    strata: int
    population: float
    """How many posts these stand for: as the sample's file says, else estimated from them."""
    population_error: float = 0.0
    """The standard error of an estimate: one of identical texts was drawn, and some have more posts
    than others. 0 where the number is known."""


def find_sample(
    connection: duckdb.DuckDBPyConnection, gold: str, catalog: str, wanted: str | None
) -> SampleDesign | None:
    """Return the sample that a name's posts were drawn with; None where there is none.

    Args:
        connection: which the database is attached to.
        gold: the name of human labels.
        catalog: the alias of the attached database.
        wanted: the name of the sample, if there may be several.

    Raises:
        InputError: there are several samples and none is wanted, or the wanted one is not there.
        RunError: the database lacks the rows of the sample, or they are wrong.
    """
    names = samples_of(connection, gold, catalog)
    if wanted is not None and wanted not in names:
        known = f"it has: {', '.join(names) or 'none'}"
        raise InputError(
            f"{SAMPLE.set_to(wanted)}: no run of {gold} has this "
            f"sample{did_you_mean(wanted, names)}; {known}"
        )
    if wanted is None and len(names) > 1:
        raise InputError(
            f"the posts of {gold} come from several samples, and each has its own probabilities. "
            f"Choose one with {SAMPLE}: {', '.join(names)}"
        )
    if not names:
        return None
    return _describe(connection, wanted or names[0], catalog)


def samples_of(connection: duckdb.DuckDBPyConnection, name: str, catalog: str) -> list[str]:
    """Return the samples of the runs that a name's labels come from, in order."""
    if not _has_column(connection, catalog, "runs", "sample"):
        return []
    rows = connection.execute(
        f"SELECT DISTINCT sample FROM {quoted(catalog)}.runs WHERE sample IS NOT NULL AND run_id "
        f"IN (SELECT run_id FROM {quoted(catalog)}.{quoted(labels_table(name))}) ORDER BY 1"
    ).fetchall()
    return [row[0] for row in rows]


def drawn_posts(design: SampleDesign, catalog: str) -> str:
    """Return SQL of the posts of a sample: uri, stratum, weight and inclusion_probability."""
    return (
        "SELECT uri, stratum, posts / inclusion_probability AS weight, inclusion_probability "
        f"FROM {quoted(catalog)}.samples WHERE sample = {literal(design.name)}"
    )


def _describe(connection: duckdb.DuckDBPyConnection, sample: str, catalog: str) -> SampleDesign:
    restore = (
        f"Restore samples/{sample}.parquet under the run root if it is missing, and run: hpc gather"
    )
    if not _has_column(connection, catalog, "samples", "uri"):
        raise RunError(f"the database has no sample {sample}. {restore}")
    design = SampleDesign(name=sample, sampled=0, strata=0, population=0)
    sampled, distinct, strata, population, wrong = connection.execute(
        "SELECT count(*), count(DISTINCT uri), count(DISTINCT stratum), sum(weight), "
        "count(*) FILTER (stratum IS NULL OR coalesce(inclusion_probability <= 0 "
        "OR inclusion_probability > 1 OR isnan(inclusion_probability) OR weight <= 0, true)) "
        f"FROM ({drawn_posts(design, catalog)})"
    ).fetchall()[0]
    if not sampled:
        raise RunError(f"the database has no posts of the sample {sample}. {restore}")
    if wrong or distinct < sampled:
        raise RunError(
            f"the database's rows of the sample {sample} are wrong: a uri is there twice, or a "
            "probability is not between 0 and 1. To load its file again, run: hpc gather --rebuild"
        )
    if recorded := _recorded_population(connection, sample, catalog):
        return SampleDesign(name=sample, sampled=sampled, strata=strata, population=recorded)
    variance = connection.execute(
        "SELECT coalesce(sum(posts * spread), 0) FROM (SELECT count(*) AS posts, "
        "coalesce(var_samp(weight), 0) AS spread "
        f"FROM ({drawn_posts(design, catalog)}) GROUP BY stratum)"
    ).fetchall()[0][0]
    return SampleDesign(
        name=sample,
        sampled=sampled,
        strata=strata,
        population=population,
        population_error=variance**0.5,
    )


def _recorded_population(
    connection: duckdb.DuckDBPyConnection, sample: str, catalog: str
) -> int | None:
    """Return how many posts a sample was drawn from; None where nobody wrote it down."""
    if not _has_column(connection, catalog, "sample_files", "description"):
        return None
    found = connection.execute(
        "SELECT (description->>'population_posts')::BIGINT FROM "
        f"{quoted(catalog)}.sample_files WHERE sample = ?",
        [sample],
    ).fetchone()
    return found[0] if found else None


def count_outside(
    connection: duckdb.DuckDBPyConnection, design: SampleDesign, gold: str, catalog: str
) -> int:
    """Count the coded posts of a name that are not in a sample."""
    table = f"{quoted(catalog)}.{quoted(labels_table(gold))}"
    return fetch_number(
        connection,
        f"SELECT count(*) FROM {table} WHERE was_successfully_labeled AND uri NOT IN "
        f"(SELECT uri FROM ({drawn_posts(design, catalog)}))",
    )


def _has_column(
    connection: duckdb.DuckDBPyConnection, catalog: str, table: str, column: str
) -> bool:
    """Tell whether a table has a column; databases of earlier versions lack some."""
    rows = connection.execute(
        "SELECT 1 FROM duckdb_columns() WHERE database_name = ? AND table_name = ? "
        "AND column_name = ?",
        [catalog, table, column],
    ).fetchall()
    return bool(rows)
