"""Draw the texts that people code from the labels of a name, with known probabilities."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from hpc.coding.codebook import CodedKind, CodedLabel, check_label_name
from pipeline.database import coding_frame
from pipeline.database.coding_frame import POSTS, RuleKind, ShardRange, StratumRule
from pipeline.database.label_tables import labels_table
from pipeline.errors import InputError
from pipeline.messages.options import LABELS, SIZE, STRATIFY
from pipeline.model import PROVENANCE, SHARD_SCHEMA
from pipeline.run_files import sample_file
from pipeline.run_files.sample_file import CODING, Sample, Stratum
from pipeline.sampling.allocate import Allocation, allocate
from pipeline.sql import fetch_number, quoted
from pipeline.text import counted, did_you_mean

MONTH = "month"
_MOST_BINS = 100
# More words than these are no list of choices.
_MOST_CHOICES = 20
_MOST_DEFAULT_LABELS = 5
_NOT_LABELS = frozenset(
    {
        *(field.name for field in (*SHARD_SCHEMA, *PROVENANCE)),
        "was_successfully_labeled",
        "label_timestamp",
        "copied_from",
        "llm_model_name",
        "attributes_not_supported",
        "was_truncated",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawRequest:
    """What to draw."""

    name: str
    """The name whose labels the texts are drawn from."""
    size: int
    seed: int
    stratify: str
    """A column, a column and a number of bins, or `month`; '' for no strata."""
    allocation: Allocation = Allocation.EQUAL
    sample: str = ""
    """The name of the sample; '' for the usual one."""

    @property
    def sample_name(self) -> str:
        """Return the name of the sample."""
        # The name becomes that of a file, and a column may have any name.
        strata = re.sub(r"[^A-Za-z0-9_]+", "", self.stratify.replace(":", ""))[:40]
        if strata and self.allocation is Allocation.PROPORTIONAL:
            strata += f"-{self.allocation}"
        parts = [self.name, "coding", *filter(None, [strata]), f"s{self.seed}", f"n{self.size}"]
        return self.sample or "-".join(parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnSample:
    """The texts that were drawn."""

    sample: Sample
    rows: pa.Table
    """For the sample's file: uri, stratum, inclusion_probability, posts."""
    posts: pa.Table
    """uri, text, preprocessing_timestamp and the label columns, oldest first."""
    types: Mapping[str, str]
    """The types of the columns of the name's labels."""
    rule: StratumRule
    shards: tuple[ShardRange, ...]
    population_posts: int
    """The posts that have one of the texts of the population."""
    left_out: int
    """The name's rows that have no label or no text, and so cannot be drawn."""
    notes: tuple[str, ...]


def label_columns(types: Mapping[str, str]) -> dict[str, str]:
    """Return the columns with labels, and their types."""
    return {name: kind for name, kind in types.items() if name not in _NOT_LABELS}


def draw_sample(
    connection: duckdb.DuckDBPyConnection, catalog: str, request: DrawRequest
) -> DrawnSample:
    """Draw distinct texts from each stratum, with known probabilities.

    Args:
        connection: a staging session, with the labels' database attached.
        catalog: the alias of the attached database.
        request: what to draw.

    Raises:
        InputError: there are too few texts, or the strata are impossible.
    """
    types = coding_frame.column_types(connection, request.name, catalog)
    rule, notes = parse_rule(connection, catalog, request, types)
    shards = coding_frame.find_shards(connection, request.name, catalog)
    coding_frame.stage_frame(connection, request.name, catalog, rule)
    strata = _ordered(coding_frame.count_strata(connection), rule)
    texts = {stratum: count for stratum, (count, _) in strata.items()}
    _check_size(request, texts)
    sizes = allocate(texts, request.size, request.allocation)
    drawn = coding_frame.draw(connection, sizes, request.seed)
    rows = _sample_rows(drawn, texts, sizes)
    notes = (*notes, *_describe_small(rule, texts, sizes))
    population = sum(texts.values())
    table = f"{quoted(catalog)}.{quoted(labels_table(request.name))}"
    total = fetch_number(connection, f"SELECT count(*) FROM {table}")
    population_posts = sum(posts for _, posts in strata.values())
    return DrawnSample(
        sample=Sample(
            sample=request.sample_name,
            kind=CODING,
            name=request.name,
            seed=request.seed,
            size=request.size,
            population=population,
            strata=tuple(
                Stratum(stratum=stratum, population=texts[stratum], size=sizes[stratum])
                for stratum in texts
            ),
            drawn_at=datetime.now(UTC).isoformat(timespec="seconds"),
            source=f"labels_{request.name}",
            stratify=request.stratify or None,
            allocation=str(request.allocation) if request.stratify else None,
            population_posts=population_posts,
        ),
        rows=rows,
        posts=_read_posts(connection, rows),
        types=types,
        rule=rule,
        shards=shards,
        population_posts=population_posts,
        left_out=total - population_posts,
        notes=notes,
    )


def parse_rule(
    connection: duckdb.DuckDBPyConnection,
    catalog: str,
    request: DrawRequest,
    types: Mapping[str, str],
) -> tuple[StratumRule, tuple[str, ...]]:
    """Return how to divide the texts, and what a person should know about it.

    Raises:
        InputError: there is no such column, or it cannot be divided so.
    """
    wanted = request.stratify.strip()
    if not wanted:
        return StratumRule(), ()
    head, _, tail = wanted.rpartition(":")
    column, bins = (head, int(tail)) if head and tail.isdecimal() else (wanted, 0)
    by_name = {name.lower(): name for name in types}
    if column.lower() == MONTH and not bins and MONTH not in by_name:
        return StratumRule(kind=RuleKind.MONTH), ()
    if column.lower() not in by_name:
        known = (*label_columns(types), MONTH)
        raise InputError(
            f"{STRATIFY.set_to(wanted)}: labels_{request.name} has no column {column!r}"
            f"{did_you_mean(column, known)}; choose {MONTH} or one of: {', '.join(known[:-1])}"
        )
    column = by_name[column.lower()]
    if not head or not tail.isdecimal():
        _reject_marker(connection, catalog, request, column)
        return StratumRule(kind=RuleKind.VALUES, column=column), ()
    if not coding_frame.is_number(types[column]):
        raise InputError(
            f"{STRATIFY.set_to(wanted)}: {column} does not hold numbers, so it cannot be divided "
            f"into bins. For a stratum for each of its values, use {STRATIFY.set_to(column)}"
        )
    if not 1 <= bins <= _MOST_BINS:
        raise InputError(
            f"{STRATIFY.set_to(wanted)}: the number of bins should be 1 to {_MOST_BINS}"
        )
    limits = coding_frame.find_range(connection, request.name, catalog, column)
    if limits is None:
        raise InputError(
            f"{STRATIFY.set_to(wanted)}: {column} has no value in labels_{request.name}"
        )
    return _bins(column, bins, *limits)


def _reject_marker(
    connection: duckdb.DuckDBPyConnection, catalog: str, request: DrawRequest, column: str
) -> None:
    """Raise InputError if a value is the word for no value: two strata would become one."""
    table = f"{quoted(catalog)}.{quoted(labels_table(request.name))}"
    query = f"SELECT count(*) FROM {table} WHERE CAST({quoted(column)} AS VARCHAR) = ?"
    if fetch_number(connection, query, [coding_frame.MISSING]):
        raise InputError(
            f"{STRATIFY.set_to(request.stratify)}: {column} has the value {coding_frame.MISSING}, "
            "which is the name of the stratum of posts without a value; stratify by another column"
        )


def _bins(column: str, bins: int, least: float, most: float) -> tuple[StratumRule, tuple[str, ...]]:
    """Return bins of equal width: over 0 to 1 for scores, else from the least to the most."""
    low, high = (0.0, 1.0) if least >= 0 and most <= 1 else (least, most)
    if low == high:
        note = f"all posts have the same {column}, {low:g}, so there is one stratum, not {bins}"
        return StratumRule(kind=RuleKind.BINS, column=column, edges=(low, high)), (note,)
    edges = tuple(float(f"{low + (high - low) * number / bins:.12g}") for number in range(1, bins))
    return StratumRule(kind=RuleKind.BINS, column=column, edges=(low, *edges, high)), ()


def _ordered(
    strata: Mapping[str, tuple[int, int]], rule: StratumRule
) -> dict[str, tuple[int, int]]:
    """Return the strata in the order of the bins, or by name; empty bins are not among them."""
    order = {name: number for number, name in enumerate(rule.bins)}
    names = sorted(strata, key=lambda name: (order.get(name, len(order)), name))
    return {name: strata[name] for name in names}


def _check_size(request: DrawRequest, texts: Mapping[str, int]) -> None:
    population = sum(texts.values())
    if request.size > population:
        raise InputError(
            f"{SIZE.set_to(request.size)}: {request.name} has labeled only "
            f"{counted(population, 'text')} (equal texts count once): use a smaller {SIZE}"
        )
    if request.size < len(texts):
        column, _, bins = request.stratify.partition(":")
        hint = (
            ""
            if bins or column == MONTH
            else f", or bins of a number: {STRATIFY.set_to(f'{column}:5')}"
        )
        raise InputError(
            f"{STRATIFY.set_to(request.stratify)}: there are {len(texts):,} strata, more than the "
            f"{request.size:,} texts to draw, so some strata would have none: use a larger {SIZE}, "
            f"fewer strata{hint}"
        )


def _describe_small(
    rule: StratumRule, texts: Mapping[str, int], sizes: Mapping[str, int]
) -> tuple[str, ...]:
    notes = []
    empty = [name for name in rule.bins if name not in texts]
    if empty and len(rule.bins) > 1:
        notes.append(f"these strata have no posts and are left out: {', '.join(empty)}")
    most = max(sizes.values())
    if small := [name for name in texts if sizes[name] == texts[name] and sizes[name] < most]:
        notes.append(
            "these strata are small, so the sample has all of their texts: "
            f"{', '.join(f'{name} ({texts[name]:,})' for name in small)}"
        )
    if sampled_once := [name for name in texts if sizes[name] == 1 < texts[name]]:
        notes.append(
            "only one text was drawn from each of these strata, which shows nothing about their "
            f"variance: draw more, or use fewer strata: {', '.join(sampled_once)}"
        )
    return tuple(notes)


def _sample_rows(
    drawn: Sequence[tuple[str, str, int]], texts: Mapping[str, int], sizes: Mapping[str, int]
) -> pa.Table:
    uris, strata, posts = zip(*drawn, strict=True)
    probabilities = [sizes[stratum] / texts[stratum] for stratum in strata]
    return pa.table([uris, strata, probabilities, posts], schema=sample_file.SCHEMA)


def _read_posts(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> pa.Table:
    connection.register("drawn_rows", rows.select(["uri"]))
    table = connection.sql(
        f"SELECT posts.* FROM {POSTS} AS posts JOIN drawn_rows USING (uri) "
        "ORDER BY preprocessing_timestamp, uri"
    ).to_arrow_table()
    connection.unregister("drawn_rows")
    return table


def default_labels(
    connection: duckdb.DuckDBPyConnection, types: Mapping[str, str], name: str
) -> tuple[CodedLabel, ...]:
    """Return labels for the columns of a name that hold flags, or one of a few words.

    Args:
        connection: a session after `draw_sample`.
        types: the columns of the name's labels.
        name: of the labels.

    Raises:
        InputError: there are none, or too many.
    """
    labels = []
    for column, kind in label_columns(types).items():
        if kind == "BOOLEAN":
            labels.append(CodedLabel(name=column, kind=CodedKind.BOOL))
        elif kind == "VARCHAR":
            values = connection.execute(
                f"SELECT DISTINCT {quoted(column)} FROM {POSTS} WHERE {quoted(column)} <> '' "
                f"ORDER BY 1 LIMIT {_MOST_CHOICES + 1}"
            ).fetchall()
            words = tuple(str(value) for (value,) in values)
            if 1 < len(words) <= _MOST_CHOICES:
                labels.append(CodedLabel(name=column, kind=CodedKind.CHOICE, choices=words))
    if not 1 <= len(labels) <= _MOST_DEFAULT_LABELS:
        columns = ", ".join(label_columns(types))
        raise InputError(
            f"{LABELS}: say what people should code, such as "
            f"{LABELS.usage('toxic:bool')}; {name} has the labels {columns}"
        )
    for label in labels:
        check_label_name(label.name, label.name)
    return tuple(labels)
