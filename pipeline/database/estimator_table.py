"""Write the table that estimators take: human labels where they exist, predictions everywhere.

Every post that could have been drawn for human coders has a row, with the probability that its text
was drawn and coded. A human label holds for each post with the same text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from pipeline import files
from pipeline.database import coding_frame
from pipeline.database.coding_frame import FRAME, POSTS, ShardRange, StratumRule
from pipeline.database.duckdb_file import raise_system_error
from pipeline.database.export_labels import as_written, copy_options, format_of
from pipeline.database.label_tables import labels_table
from pipeline.database.source_columns import SourceColumn, count_missing
from pipeline.errors import InputError
from pipeline.messages.options import PAIRS
from pipeline.sql import fetch_number, literal, quoted

_MOST_WORDS = 20
_NUMBERS = frozenset({"DOUBLE", "FLOAT", "BIGINT", "INTEGER", "BOOLEAN"})
_OWN_COLUMNS = ("uri", "text_id", "stratum", "labeled", "sample_prob", "weight")


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelTable:
    """A table of labels in an attached database."""

    name: str
    catalog: str
    """The alias of the database."""

    @property
    def sql(self) -> str:
        """Return the table as SQL names it."""
        return f"{quoted(self.catalog)}.{quoted(labels_table(self.name))}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """What human coders could have been given."""

    labels: LabelTable
    """The labels that the sample was drawn from."""
    rule: StratumRule
    shards: tuple[ShardRange, ...]
    population: Mapping[str, int]
    """How many texts each stratum had."""
    sample: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimatorRequest:
    """Which table to write."""

    predictions: LabelTable
    gold: LabelTable
    frame: Frame
    pairs: tuple[tuple[str, str], ...]
    """Columns of the predictions and of the human labels that mean the same."""
    covariates: tuple[str, ...]
    """Further columns of the predictions' table."""
    source_columns: tuple[SourceColumn, ...] = ()
    with_weights: bool = False
    """Whether to add the inverse of the probability."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenTable:
    """What was written."""

    rows: int
    coded_posts: int
    """The rows with human labels."""
    coded_texts: int
    """How many different texts these have."""
    not_coded: int
    """The texts that were drawn, and lack a human label."""
    without_prediction: int
    """Posts that could have been drawn and have no prediction; they are left out."""
    labels: tuple[str, ...]
    """The columns with human labels. The prediction of each ends in `_predicted`."""
    columns: tuple[str, ...]
    not_in_source: int = 0


@dataclass(slots=True)
class _Columns:
    """Expressions of the result by column, in their order."""

    own: dict[str, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)

    def add(self, column: str, expression: str) -> None:
        if column.lower() in {each.lower() for each in self.own}:
            raise InputError(f"the table would have two columns {column}: leave one of them out")
        self.own[column] = expression


def stage_population(connection: duckdb.DuckDBPyConnection, frame: Frame) -> None:
    """Stage the posts that could have been drawn, as table FRAME and view POSTS.

    Raises:
        InputError: the labels have changed, so that nobody knows any more what could be drawn.
    """
    coding_frame.stage_frame(
        connection, frame.labels.name, frame.labels.catalog, frame.rule, frame.shards
    )
    counts = coding_frame.count_strata(connection)
    texts = {stratum: number for stratum, (number, _) in counts.items()}
    if texts == dict(frame.population):
        return
    there, then = sum(texts.values()), sum(frame.population.values())
    raise InputError(
        f"the labels of {frame.labels.name} are not those that the sample {frame.sample} was drawn "
        f"from: they have {there:,} texts in {len(texts)} strata now, and had {then:,} in "
        f"{len(frame.population)}. Labels that were replaced, or lost, do that. Draw a new sample "
        f"with hpc sample {frame.labels.name}"
    )


def write_table(
    connection: duckdb.DuckDBPyConnection, request: EstimatorRequest, target: Path
) -> WrittenTable:
    """Write the table to a file, which appears whole or not at all.

    Args:
        connection: a staging session, after `stage_population`.
        request: which table.
        target: the file; an existing one is replaced.

    Raises:
        InputError: a column does not fit, nothing is coded, or a stratum has no coded text.
        OSError: the disk is full.
    """
    _stage_coded(connection, request)
    probabilities = _coded_shares(connection, request)
    columns = _choose_columns(connection, request)
    _stage_rows(connection, request)
    wanted = " AND ".join(
        _is_there(request.predictions, prediction) for prediction, _ in request.pairs
    )
    file_format = format_of(target)
    rows = f"FROM estimator_rows AS posts {_joins(request)} WHERE {wanted}"
    try:
        select = f"SELECT {_list(columns.own)} {rows}"
        kinds = {
            name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {select}").fetchall()
        }
        written = ", ".join(
            f"{as_written(name, kind, file_format)} AS {quoted(name)}"
            for name, kind in kinds.items()
        )
        with files.appearing_whole(target) as temporary:
            number = connection.execute(
                f"COPY (SELECT {written} FROM ({select})) TO {literal(str(temporary))} "
                f"({copy_options(file_format)})"
            ).fetchall()[0][0]
        coded_posts = fetch_number(connection, f"SELECT count(coded.text) {rows}")
    except duckdb.Error as error:
        raise_system_error(target, error)
        raise
    population = fetch_number(connection, f"SELECT count(*) FROM {POSTS}")
    coded_texts = sum(coded for coded, _ in probabilities.values())
    return WrittenTable(
        rows=int(number),
        coded_posts=coded_posts,
        coded_texts=coded_texts,
        not_coded=sum(drawn for _, drawn in probabilities.values()) - coded_texts,
        without_prediction=population - int(number),
        labels=tuple(columns.labels),
        columns=tuple(columns.own),
        not_in_source=count_missing(connection, request.source_columns, POSTS),
    )


def _stage_coded(connection: duckdb.DuckDBPyConnection, request: EstimatorRequest) -> None:
    """Stage the texts of which everything is coded, with their strata."""
    golds = list(dict.fromkeys(gold for _, gold in request.pairs))
    coded = " AND ".join(_is_there(request.gold, gold, "gold") for gold in golds)
    values = "".join(f", gold.{quoted(gold)} AS {quoted(f'gold {gold}')}" for gold in golds)
    connection.execute(
        "CREATE OR REPLACE TEMPORARY TABLE drawn AS SELECT gold.uri, gold.text, frame.stratum, "
        f"coalesce(gold.was_successfully_labeled AND {coded}, false) AS is_coded{values} "
        f"FROM {request.gold.sql} AS gold JOIN {FRAME} AS frame USING (uri)"
    )
    connection.execute("CREATE OR REPLACE TEMPORARY TABLE coded AS FROM drawn WHERE is_coded")


def _coded_shares(
    connection: duckdb.DuckDBPyConnection, request: EstimatorRequest
) -> dict[str, tuple[int, int]]:
    """Stage the probability of each stratum; return how many texts are coded and were drawn."""
    rows = connection.execute(
        "SELECT stratum, count(*) FILTER (is_coded), count(*) FROM drawn GROUP BY 1 ORDER BY 1"
    ).fetchall()
    shares = {str(stratum): (int(coded), int(drawn)) for stratum, coded, drawn in rows}
    name = request.gold.name
    if not any(coded for coded, _ in shares.values()):
        labels = ", ".join(gold for _, gold in request.pairs)
        raise InputError(f"{name} has no post of which {labels} is coded")
    if empty := [each for each in request.frame.population if not shares.get(each, (0, 0))[0]]:
        raise InputError(
            f"these strata have no coded post, so nothing is known of them: {', '.join(empty)}. "
            f"Code some of their posts, and import them with hpc gold --as {name} --supersede"
        )
    connection.execute(
        "CREATE OR REPLACE TEMPORARY TABLE chances (stratum VARCHAR, sample_prob DOUBLE)"
    )
    connection.executemany(
        "INSERT INTO chances VALUES (?, ?)",
        [
            [stratum, shares[stratum][0] / population]
            for stratum, population in request.frame.population.items()
        ],
    )
    return shares


def _stage_rows(connection: duckdb.DuckDBPyConnection, request: EstimatorRequest) -> None:
    """Create view `estimator_rows`: the posts, each with its text's id and stratum.

    Most texts have a single post, which is in its own stratum. The others are looked up by text.
    """
    connection.execute(
        "CREATE OR REPLACE TEMPORARY TABLE shared AS SELECT posts.text, frame.uri AS text_id, "
        f"frame.stratum FROM {FRAME} AS frame JOIN {POSTS} AS posts USING (uri) "
        "WHERE frame.posts > 1"
    )
    connection.execute(
        "CREATE OR REPLACE TEMPORARY VIEW estimator_rows AS SELECT own.uri, own.text, "
        "coalesce(shared.text_id, own.uri) AS text_id, "
        "coalesce(shared.stratum, own.own_stratum) AS stratum "
        f"FROM (SELECT uri, text, {request.frame.rule.sql} AS own_stratum FROM {POSTS}) AS own "
        "LEFT JOIN shared ON shared.text = own.text"
    )


def _joins(request: EstimatorRequest) -> str:
    source = "".join(
        f" LEFT JOIN {each.table} AS {each.alias} ON {each.alias}.uri = posts.uri"
        for each in request.source_columns
    )
    return (
        "JOIN chances ON chances.stratum = posts.stratum "
        f"JOIN {request.predictions.sql} AS predicted ON predicted.uri = posts.uri "
        f"AND predicted.was_successfully_labeled LEFT JOIN coded ON coded.text = posts.text{source}"
    )


def _choose_columns(connection: duckdb.DuckDBPyConnection, request: EstimatorRequest) -> _Columns:
    columns = _Columns()
    own = {
        "uri": "posts.uri",
        "text_id": "posts.text_id",
        "stratum": "posts.stratum",
        "labeled": "CAST(coded.text IS NOT NULL AS INTEGER)",
        "sample_prob": "chances.sample_prob",
    }
    if request.with_weights:
        own["weight"] = "1 / chances.sample_prob"
    for name, expression in own.items():
        columns.add(name, expression)
    types = {
        table.name: coding_frame.column_types(connection, table.name, table.catalog)
        for table in (request.predictions, request.gold)
    }
    for prediction, gold in request.pairs:
        kinds = (types[request.predictions.name][prediction], types[request.gold.name][gold])
        _add_pair(connection, columns, (prediction, gold), kinds)
    for name in request.covariates:
        columns.add(name, f"predicted.{quoted(name)}")
    for each in request.source_columns:
        columns.add(each.column, each.value)
    return columns


def _add_pair(
    connection: duckdb.DuckDBPyConnection,
    columns: _Columns,
    pair: tuple[str, str],
    kinds: tuple[str, str],
) -> None:
    """Add the columns of a pair: numbers as they are, flags as 0 and 1, words one by one."""
    prediction, gold = f"predicted.{quoted(pair[0])}", f"coded.{quoted(f'gold {pair[1]}')}"
    if set(kinds) <= _NUMBERS:
        _add_label(columns, pair[1], _number(gold, kinds[1]), _number(prediction, kinds[0]))
        return
    if set(kinds) != {"VARCHAR"}:
        raise InputError(
            f"{pair[0]} is {kinds[0]} and {pair[1]} is {kinds[1]}: a word cannot be the prediction "
            f"of a number; pair other columns with {PAIRS.usage('prediction=gold')}"
        )
    rows = connection.execute(
        f"SELECT DISTINCT {quoted(f'gold {pair[1]}')} FROM coded ORDER BY 1"
    ).fetchall()
    if len(rows) > _MOST_WORDS:
        raise InputError(
            f"{pair[1]} has {len(rows)} different words, more than the {_MOST_WORDS} that are "
            "written as columns of 0 and 1"
        )
    for (word,) in rows:
        name = f"{pair[1]}_{re.sub(r'[^A-Za-z0-9]+', '_', str(word))}"
        _add_label(
            columns,
            name,
            f"CAST({gold} = {literal(str(word))} AS INTEGER)",
            f"CAST({prediction} = {literal(str(word))} AS INTEGER)",
        )


def _add_label(columns: _Columns, name: str, gold: str, prediction: str) -> None:
    columns.add(name, gold)
    columns.add(f"{name}_predicted", prediction)
    columns.labels.append(name)


def _number(expression: str, kind: str) -> str:
    return f"CAST({expression} AS INTEGER)" if kind == "BOOLEAN" else expression


def _is_there(table: LabelTable, column: str, alias: str = "predicted") -> str:
    """Return the condition that a row of the table has a value in a column; NaN is none."""
    value = f"{alias}.{quoted(column)}"
    return f"({value} IS NOT NULL AND CAST({value} AS VARCHAR) NOT IN ('nan', 'inf', '-inf'))"


def _list(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{expression} AS {quoted(name)}" for name, expression in columns.items())


def find_pairs(
    predictions: Mapping[str, str], gold: Mapping[str, str], named: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Return the pairs of columns: those that are named, or else those of the same name.

    Args:
        predictions: the label columns of the predictions, and their types.
        gold: those of the human labels.
        named: pairs of columns to use, such as `prob_toxic=toxic`, prediction first.

    Raises:
        InputError: there is no such column, or no pair.
    """
    pairs = []
    for pair in named:
        prediction, equals, human = (part.strip() for part in pair.partition("="))
        if not equals or prediction not in predictions or human not in gold:
            raise InputError(
                f"{PAIRS.set_to(pair)}: should be prediction=gold, a column of the predictions "
                f"({', '.join(predictions)}) and one of the human labels ({', '.join(gold)})"
            )
        pairs.append((prediction, human))
    if not pairs:
        pairs = [(name, name) for name in gold if name in predictions]
    if not pairs:
        raise InputError(
            f"the predictions ({', '.join(predictions)}) and the human labels "
            f"({', '.join(gold)}) have no column of the same name; pair them with "
            f"{PAIRS.usage('prediction=gold')}"
        )
    return tuple(dict.fromkeys(pairs))
