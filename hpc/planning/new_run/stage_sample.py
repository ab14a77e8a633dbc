"""Stage the posts of a sample: draw it, or take those of a sample that was drawn before.

A sample is drawn once. Who asks for it again gets the same posts, even if the backlog has grown
since, and pays only for those without a label.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import msgspec
from msgspec.structs import replace

from hpc.planning.exclusions import LABELS
from hpc.planning.run_spec import RunSpec, Selection
from pipeline.backlog import select
from pipeline.backlog.select import BacklogCounts
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.messages.options import (
    ALLOCATION,
    DRAW_SIZE,
    ONLY_LABELED_BY,
    RANDOM_SAMPLE,
    SAMPLE_NAME,
    SEED,
    STRATIFY,
    WHERE,
)
from pipeline.run_files import sample_file
from pipeline.run_files.sample_file import Sample, SampleFile
from pipeline.sampling.allocate import Allocation
from pipeline.sampling.draw import DRAWN, draw, read_drawn
from pipeline.sql import fetch_number
from pipeline.text import did_you_mean

_POPULATION = "staged"
_URIS = f"SELECT uri FROM {DRAWN}"
# What a person asks for. A sample with another value is another sample.
_OPTIONS = {
    "seed": SEED,
    "size": DRAW_SIZE,
    "stratify": STRATIFY,
    "allocation": ALLOCATION,
    "only_labelled_by": ONLY_LABELED_BY,
    "where": WHERE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedSample:
    """The sample that a run's posts are from."""

    description: Sample
    is_new: bool
    """Whether it was drawn just now; its file is not written yet."""
    gone: int = 0
    """How many of its posts the source no longer has."""


def find_sample(
    spec: RunSpec, selection: Selection, connection: duckdb.DuckDBPyConnection
) -> SampleFile | None:
    """Return the sample that was asked for if it exists; None if it is to be drawn.

    Args:
        spec: the run's configuration.
        selection: which sample.
        connection: the planning database, after `find_exclusions`.

    Raises:
        InputError: the name is not possible, a sample of that name differs from what was asked for
            or lost its file, or there is no sample to draw or to take.
        UnreadableError: the sample exists and cannot be read now.
        DamagedError: it is damaged.
    """
    root, name = spec.config.storage.run_root, sample_name(spec, selection)
    sample_file.check_name(name)
    path = sample_file.path_of(root, name)
    try:
        found = sample_file.read(path)
    except FileNotFoundError:
        _reject_lost_file(connection, name, path)
        if selection.sample:
            return None
        raise InputError(_describe_missing(root, name)) from None
    if selection.sample:
        _reject_other_sample(found.sample, _describe(spec, selection, name), path)
    return found


def sample_name(spec: RunSpec, selection: Selection) -> str:
    """Return the name of a sample: the one that was given, or one that says how it is drawn."""
    if selection.sample_name or not selection.sample:
        return selection.sample_name or ""
    request = selection.sample
    parts = [spec.config.name, f"s{request.seed}", f"n{request.size}"]
    if request.stratify is not None:
        parts += ["by", re.sub(r"[^A-Za-z0-9_.]", "_", request.stratify)]
    if request.allocation is not Allocation.PROPORTIONAL:
        parts.append(str(request.allocation))
    if selection.only_labeled_by:
        parts += ["of", selection.only_labeled_by]
    if selection.where:
        parts.append("where")
    return "-".join(parts)


def stage_new(
    spec: RunSpec,
    selection: Selection,
    source: Source,
    exclude: str | None,
    connection: duckdb.DuckDBPyConnection,
    choose_from: str | None,
) -> tuple[BacklogCounts, StagedSample]:
    """Draw a sample, and stage those of its posts that have no label yet.

    Args:
        spec: the run's configuration.
        selection: which sample to draw.
        source: the backlog.
        exclude: SQL that yields the uris that have a label.
        connection: a staging database; it gets the table DRAWN.
        choose_from: SQL that yields the uris to draw from; None draws from the whole backlog.

    Raises:
        InputError: the source cannot be read, or such a sample is not possible.
    """
    assert selection.sample
    counts = select.stage_posts(connection, source, exclude=None, choose_from=choose_from)
    strata = draw(connection, source, selection.sample, _POPULATION)
    description = msgspec.structs.replace(
        _describe(spec, selection, sample_name(spec, selection)),
        strata=strata,
        population=counts.posts,
        drawn_at=datetime.now(UTC).isoformat(),
        source=str(source),
    )
    counts = select.keep_drawn(connection, counts, _URIS, exclude)
    return counts, StagedSample(description=description, is_new=True)


def stage_again(
    found: SampleFile,
    source: Source,
    exclude: str | None,
    connection: duckdb.DuckDBPyConnection,
) -> tuple[BacklogCounts, StagedSample]:
    """Stage those posts of a sample that have no label yet.

    Args:
        found: the sample.
        source: the backlog.
        exclude: SQL that yields the uris that have a label.
        connection: a staging database; it gets the table DRAWN.

    Raises:
        InputError: the source cannot be read.
    """
    connection.register("sample_rows", found.rows)
    connection.execute(
        f"CREATE TABLE {DRAWN} AS SELECT uri, stratum, inclusion_probability FROM sample_rows"
    )
    connection.unregister("sample_rows")
    counts = select.stage_posts(connection, source, exclude=None, choose_from=_URIS)
    gone = fetch_number(connection, f"SELECT count(*) FROM {DRAWN} ANTI JOIN staged USING (uri)")
    counts = select.keep_drawn(connection, counts, _URIS, exclude)
    return (
        replace(counts, not_chosen=0, not_drawn=counts.not_chosen),
        StagedSample(description=found.sample, is_new=False, gone=gone),
    )


def write_sample(
    run_root: Path, staged: StagedSample, connection: duckdb.DuckDBPyConnection
) -> None:
    """Write the file of a sample that was drawn just now.

    Raises:
        OSError: the disk is full.
    """
    if staged.is_new:
        sample_file.write(run_root, staged.description, read_drawn(connection))


def _describe(spec: RunSpec, selection: Selection, name: str) -> Sample:
    """Return the description of a sample as far as it is known before the draw."""
    request = selection.sample
    assert request
    return Sample(
        sample=name,
        kind=sample_file.SUBMIT,
        name=spec.config.name,
        seed=request.seed,
        size=request.size,
        population=0,
        strata=(),
        drawn_at="",
        source="",
        stratify=request.stratify,
        allocation=str(request.allocation) if request.stratify is not None else None,
        only_labelled_by=selection.only_labeled_by,
        where=selection.where,
    )


def _reject_lost_file(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    """Raise InputError if the labels' database has a sample whose file is gone.

    If the backlog has changed, another draw would give other posts and probabilities under its
    name.
    """
    has_samples = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = ? AND table_name = 'samples'", [LABELS]
    ).fetchall()
    query = f"SELECT 1 FROM {LABELS}.samples WHERE sample = ? LIMIT 1"
    if has_samples and connection.execute(query, [name]).fetchall():
        raise InputError(
            f"the sample {name} was drawn before, and its file {path} is gone: restore it, for "
            f"example from a backup, or draw a sample under another name with {SAMPLE_NAME}"
        )


def _reject_other_sample(found: Sample, wanted: Sample, path: Path) -> None:
    differing = [key for key in _OPTIONS if getattr(found, key) != getattr(wanted, key)]
    if not differing:
        return
    differences = ", ".join(
        f"{_OPTIONS[key]} ({_written(getattr(found, key))} there, "
        f"{_written(getattr(wanted, key))} here)"
        for key in differing
    )
    raise InputError(
        f"the sample {found.sample} exists and differs in {differences}. No sample is ever drawn "
        f"again ({path}): give this one another name with {SAMPLE_NAME}"
    )


def _written(value: object) -> str:
    return "none" if value is None else str(value)


def _describe_missing(root: Path, name: str) -> str:
    names = [path.stem for path in sample_file.list_files(root)]
    return (
        f"{SAMPLE_NAME.set_to(name)}: there is no such sample under {root}"
        f"{did_you_mean(name, names)}; there are: {', '.join(names) or 'none'}. "
        f"To draw one, add {RANDOM_SAMPLE}"
    )
