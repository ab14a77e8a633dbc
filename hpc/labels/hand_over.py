"""Hand predictions and human labels over to estimators, as one table."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import duckdb

from hpc.coding import coding_record
from hpc.coding.coding_record import CodingDescription
from hpc.coding.draw_sample import label_columns
from hpc.database.published_labels import check_has_labels, published_labels
from hpc.labels.label_place import LabelPlace
from hpc.run.model.run import Say
from hpc.runs.missing_posts import describe_missing
from pipeline.backlog import select
from pipeline.backlog.sources import Source
from pipeline.database import coding_frame, duckdb_file, sample_rows
from pipeline.database.coding_frame import POSTS
from pipeline.database.estimator_table import (
    EstimatorRequest,
    Frame,
    LabelTable,
    WrittenTable,
    find_pairs,
    stage_population,
    write_table,
)
from pipeline.database.source_columns import SourceColumn, stage_source_columns
from pipeline.errors import InputError
from pipeline.messages.options import COLUMNS, GOLD
from pipeline.run_files import sample_file
from pipeline.sql import fetch_number
from pipeline.text import counted, did_you_mean


class Purpose(StrEnum):
    """For which estimator a table is."""

    DSL = "dsl"
    """The R package dsl."""
    PPI = "ppi"
    """The Python package ppi-python."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HandOverRequest:
    """Which table a person wants."""

    purpose: Purpose
    name: str
    """The name of the predictions."""
    gold: str
    """The name of the human labels."""
    column_pairs: tuple[str, ...]
    """Pairs such as `prob_toxic=toxic`; empty for the columns of the same name."""
    covariates: tuple[str, ...]
    """Further columns of the predictions' table."""
    source: Source | None
    source_columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HandedOver:
    """What was written, and what a person should know."""

    table: WrittenTable
    sample: str
    frame: str
    """The name whose labels the sample was drawn from."""
    later: int
    """Posts of that name that were labeled after the sample was drawn, and so left out."""
    posts_missing: int
    """Posts of that name's runs that have no published result yet."""
    problems: tuple[str, ...]
    """A message for each output that was left out."""


def hand_over(place: LabelPlace, request: HandOverRequest, target: Path, say: Say) -> HandedOver:
    """Write the table.

    Args:
        place: where the labels are.
        request: which table.
        target: the file; an existing one is replaced.
        say: shows a message.

    Raises:
        InputError: a name or a column does not exist, or the sample no longer fits the labels.
        OSError: the disk is full.
    """
    if request.gold not in place.names:
        raise InputError(
            f"{GOLD.set_to(request.gold)}: there are no labels of that name"
            f"{did_you_mean(request.gold, place.names)}; there are: {', '.join(place.names)}"
        )
    if request.gold == request.name:
        raise InputError(
            f"{GOLD.set_to(request.gold)}: name the classifier whose labels the human labels "
            f"correct, such as: hpc export NAME --for dsl --gold {request.gold}"
        )
    sample = _find_sample(place, request.gold)
    description = coding_record.read(place.run_root, sample).description
    with (
        ExitStack() as stack,
        tempfile.TemporaryDirectory(prefix=".tmp-export-", dir=target.parent) as folder,
        select.staging(Path(folder), place.limits) as connection,
    ):
        databases: dict[str, str] = {}
        tables: dict[str, LabelTable] = {}
        problems: list[str] = []
        missing: dict[str, int] = {}
        for name in dict.fromkeys((description.name, request.name, request.gold)):
            runs = place.trusted_runs(name, say)
            published = stack.enter_context(
                published_labels(place.database, name, runs, target.parent)
            )
            check_has_labels(published, name)
            problems += published.problems
            missing[name] = published.posts_missing
            path = str(published.database)
            if path not in databases:
                databases[path] = f"labels_{len(databases)}"
                duckdb_file.attach(connection, published.database, databases[path])
            tables[name] = LabelTable(name=name, catalog=databases[path])
        frame = _frame(place, description, tables[description.name])
        stage_population(connection, frame)
        table = write_table(
            connection,
            _estimator_request(connection, request, tables, frame),
            target,
        )
        later = _count_later(connection, frame)
    return HandedOver(
        table=table,
        sample=sample,
        frame=description.name,
        later=later,
        posts_missing=missing[description.name],
        problems=tuple(problems),
    )


def _find_sample(place: LabelPlace, gold: str) -> str:
    """Return the sample of a name of human labels."""
    runs = [run for run in place.runs if run.manifest.name == gold]
    if runs and runs[-1].manifest.sample:
        return runs[-1].manifest.sample
    if not runs and not place.content.held:  # the folder of a gathered run may be deleted
        with duckdb_file.open_database(place.database, read_only=True) as labels:
            samples = sample_rows.of_name(labels, gold)
        if samples:
            return samples[-1]
    raise InputError(
        f"{GOLD.set_to(gold)}: it is not known from which sample these labels are. Human labels "
        "come from hpc gold"
    )


def _frame(place: LabelPlace, description: CodingDescription, labels: LabelTable) -> Frame:
    path = sample_file.path_of(place.run_root, description.sample)
    try:
        sample = sample_file.read(path).sample
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing. It says how likely each post was drawn: restore it"
        ) from None
    return Frame(
        labels=labels,
        rule=description.rule,
        shards=description.shards,
        population={each.stratum: each.population for each in sample.strata},
        sample=description.sample,
    )


def _estimator_request(
    connection: duckdb.DuckDBPyConnection,
    request: HandOverRequest,
    tables: dict[str, LabelTable],
    frame: Frame,
) -> EstimatorRequest:
    predictions, gold = tables[request.name], tables[request.gold]
    types = coding_frame.column_types(connection, predictions.name, predictions.catalog)
    gold_types = coding_frame.column_types(connection, gold.name, gold.catalog)
    return EstimatorRequest(
        predictions=predictions,
        gold=gold,
        frame=frame,
        pairs=find_pairs(label_columns(types), label_columns(gold_types), request.column_pairs),
        covariates=_find_covariates(request.covariates, types, request.name),
        source_columns=_stage_source(connection, request, types),
        with_weights=request.purpose is Purpose.PPI,
    )


def _find_covariates(names: Sequence[str], types: dict[str, str], name: str) -> tuple[str, ...]:
    by_name = {column.lower(): column for column in types}
    for each in names:
        if each.lower() not in by_name:
            raise InputError(
                f"{COLUMNS.set_to(each)}: labels_{name} has no such column"
                f"{did_you_mean(each, tuple(types))}; it has: {', '.join(types)}"
            )
    chosen = dict.fromkeys(by_name[each.lower()] for each in names)
    chosen.pop("uri", None)
    return tuple(chosen)


def _stage_source(
    connection: duckdb.DuckDBPyConnection, request: HandOverRequest, types: dict[str, str]
) -> tuple[SourceColumn, ...]:
    if request.source is None:
        return ()
    return stage_source_columns(connection, request.source, request.source_columns, POSTS, types)


def _count_later(connection: duckdb.DuckDBPyConnection, frame: Frame) -> int:
    labeled = fetch_number(
        connection,
        f"SELECT count(*) FROM {frame.labels.sql} WHERE was_successfully_labeled "
        "AND length(trim(text)) > 0",
    )
    return labeled - fetch_number(connection, f"SELECT count(*) FROM {POSTS}")


def describe(handed: HandedOver, name: str, target: Path) -> list[str]:
    """Return what a person should know about a table."""
    table = handed.table
    lines = [
        f"wrote {target}: {counted(table.rows, 'post')} with the prediction of {name}, "
        f"{table.coded_posts:,} of them with human labels ({counted(table.coded_texts, 'text')})",
        f"human labels: {', '.join(table.labels)}; predictions end in _predicted",
    ]
    if table.not_coded:
        lines.append(
            f"{counted(table.not_coded, 'text')} of sample {handed.sample} lack a human label, so "
            "sample_prob is the chance of being drawn and coded. That is right only if it is "
            "chance which texts were not coded"
        )
    if handed.later:
        lines.append(
            f"{counted(handed.later, 'post')} of {handed.frame} were labeled after the sample was "
            "drawn and could not be in it, so they are left out"
        )
    if handed.posts_missing:
        consequence = "could not be drawn, so estimates do not hold for them"
        lines.append(describe_missing(handed.frame, handed.posts_missing, consequence))
    if table.without_prediction:
        lines.append(
            f"{counted(table.without_prediction, 'post')} that could have been drawn have no "
            f"prediction of {name}, so they are left out: estimates hold for the others"
        )
    if table.not_in_source:
        lines.append(
            f"{counted(table.not_in_source, 'post')} are not in the source now: the joined columns "
            "are null there"
        )
    return lines
