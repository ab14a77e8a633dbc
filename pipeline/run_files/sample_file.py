"""Write, read and verify samples: which posts were drawn, from how many, and how likely each was.

A sample is one Parquet file below the run root, `samples/<sample>.parquet`. It appears whole and
never changes, because labels and human codings are weighted by it for as long as the study lives.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import pyarrow as pa

from pipeline import files
from pipeline.config.keys import Section, key, one_of
from pipeline.errors import DamagedError, InputError
from pipeline.late_imports import arrow_compute as pc
from pipeline.messages.options import SAMPLE_NAME
from pipeline.run_files import read_parquet
from pipeline.run_files.json_record import parse_record

FOLDER = "samples"
# What draws samples: `hpc submit --sample`, and `hpc sample` for human coders.
SUBMIT, CODING = "submit", "coding"
# The only stratum of a sample without strata, and the stratum of posts without a value.
ALL, MISSING = "all", "(missing)"
SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("stratum", pa.string(), nullable=False),
        pa.field("inclusion_probability", pa.float64(), nullable=False),
        pa.field("posts", pa.int64(), nullable=False),
    ]
)
_METADATA = b"sample"
_ENDING = ".parquet"
_ROUNDING = 1e-9
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


class Stratum(Section, frozen=True, kw_only=True):
    """A part of the population that was drawn from separately."""

    stratum: str
    population: int
    """How many posts (of a sample for coders: different texts) it has."""
    size: int
    """How many of them were drawn; 0 where none was."""


class Sample(Section, frozen=True, kw_only=True):
    """What a sample is: how it was drawn, and from what."""

    sample: str
    """Its name, and that of its file."""
    kind: Annotated[str, one_of((SUBMIT, CODING))]
    name: str
    """The configuration whose backlog, or the name whose labels, it was drawn for."""
    seed: int
    size: int
    population: int
    strata: tuple[Stratum, ...]
    drawn_at: str
    """ISO 8601, UTC."""
    source: str
    """What it was drawn from, for a person."""
    stratify: Annotated[str | None, key("What makes the strata.", omit_default=True)] = None
    allocation: Annotated[str | None, key("How strata share the sample.", omit_default=True)] = None
    only_labelled_by: Annotated[
        str | None, key("The name whose labeled posts were drawn from.", omit_default=True)
    ] = None
    where: Annotated[str | None, key("The condition on that name's labels.", omit_default=True)] = (
        None
    )
    population_posts: Annotated[
        int | None, key("How many posts have the texts of the population.", omit_default=True)
    ] = None
    """None where posts were drawn and not texts, and in files of earlier versions."""
    posts_missing: Annotated[
        int | None,
        key("How many posts of the name's runs had no published result yet.", omit_default=True),
    ] = None
    """They could not be drawn. None where posts were drawn and not texts, and in files of earlier
    versions."""


class SampleFile(msgspec.Struct, frozen=True, kw_only=True):
    """A sample and its rows."""

    sample: Sample
    rows: pa.Table
    """In SCHEMA, by uri."""


def check_name(sample: str) -> None:
    """Raise InputError unless a sample can have this name: it becomes the name of a file."""
    if not _NAME.fullmatch(sample):
        raise InputError(
            f"the name {sample!r} cannot be that of a sample: use up to 120 letters, digits and "
            "the characters . _ - and begin with a letter or a digit"
        )


def path_of(run_root: Path, sample: str) -> Path:
    """Return the file of a sample."""
    return run_root / FOLDER / f"{sample}{_ENDING}"


def list_files(run_root: Path) -> list[Path]:
    """Return the files of all samples under a run root, by name.

    Raises:
        UnreadableError: the folder cannot be read now.
    """
    return files.with_ending(run_root / FOLDER, _ENDING)


def write(run_root: Path, sample: Sample, rows: pa.Table) -> Path:
    """Write a sample, which must not exist yet, and return its file.

    A file with equal content stays. When and from which path the sample was drawn may differ, and
    how many posts have texts that were not drawn, or have no result yet.

    Args:
        run_root: the folder of the runs.
        sample: describes the rows.
        rows: columns as in SCHEMA, in any order.

    Raises:
        InputError: the name is not possible, or another sample has it.
        UnreadableError: a sample of this name exists and cannot be read now.
        DamagedError: a sample of this name exists and is damaged.
        OSError: the disk is full.
    """
    check_name(sample.sample)
    table = rows.select(SCHEMA.names).cast(SCHEMA)
    if not _is_ascending(table["uri"]):  # to sort millions of rows takes as much memory again
        table = table.sort_by("uri")
    problem = _find_problem(sample, table)
    assert not problem, problem
    path = path_of(run_root, sample.sample)
    path.parent.mkdir(exist_ok=True)
    metadata = {_METADATA: json.dumps(sample.to_json(), ensure_ascii=False).encode()}
    try:
        files.write_new_parquet(path, table.replace_schema_metadata(metadata))
    except FileExistsError:
        there = read(path)
        if _content(there.sample) != _content(sample) or not there.rows.equals(table):
            raise InputError(
                f"{path} holds another sample of that name, and no sample is ever overwritten: "
                f"give this one another name with {SAMPLE_NAME}"
            ) from None
    return path


def read(path: Path) -> SampleFile:
    """Return a sample and its rows, verified.

    Raises:
        FileNotFoundError: the file is not there.
        UnreadableError: the file cannot be read now; nothing is known about its content.
        DamagedError: it holds no sample of this name, or its rows do not fit its description.
    """
    sample = read_description(path)
    with _advise(path):
        rows = read_parquet.read_table(path).replace_schema_metadata()
        if problem := _find_problem(sample, rows):
            raise DamagedError(path, problem)
    return SampleFile(sample=sample, rows=rows)


def read_description(path: Path) -> Sample:
    """Return what a sample's file says about it, without its rows. Raises as `read` does."""
    with _advise(path):
        footer = read_parquet.read_footer(path)
        content = (footer.schema.metadata or {}).get(_METADATA)
        if content is None:
            raise DamagedError(path, "it has no entry `sample`, so it is not a sample")
        try:
            sample = parse_record(content, Sample, source=str(path))
        except InputError as error:
            raise DamagedError(path, str(error)) from None
        if footer.rows != sample.size:
            raise DamagedError(path, f"it has {footer.rows:,} rows instead of {sample.size:,}")
    if f"{sample.sample}{_ENDING}" != path.name:
        problem = f"it is the sample {sample.sample}, renamed: rename it back"
        raise DamagedError(path, problem)
    return sample


@contextmanager
def _advise(path: Path) -> Iterator[None]:
    """Say with each error about damage what to do: nothing can draw the same sample for sure."""
    try:
        yield
    except DamagedError as error:
        problem = f"{error.problem.rstrip('. ')}. {_advice()}"
        raise DamagedError(path, problem) from None


def _content(sample: Sample) -> Sample:
    """Return a description without what may differ between two draws of the same sample."""
    return msgspec.structs.replace(
        sample, drawn_at="", source="", population_posts=None, posts_missing=None
    )


def _find_problem(sample: Sample, rows: pa.Table) -> str:
    """Return why rows do not fit the description of their sample; empty if they do."""
    if not rows.schema.equals(SCHEMA):
        return f"its columns are not {', '.join(SCHEMA.names)}"
    if any(column.null_count for column in rows.columns):
        return "a value is null"
    uris = rows["uri"]
    if not _is_ascending(uris) and pc.count_distinct(uris).as_py() != rows.num_rows:
        return "a uri is in it twice"
    if not _all(pc.and_(pc.greater(rows["inclusion_probability"], 0),
                        pc.less_equal(rows["inclusion_probability"], 1))):  # fmt: skip
        return "an inclusion probability is not between 0 and 1"
    if not _all(pc.greater_equal(rows["posts"], 1)):
        return "a row stands for less than one post"
    return _find_wrong_counts(sample, _count_strata(rows)) or _find_wrong_probability(sample, rows)


def _find_wrong_counts(sample: Sample, drawn: Counter[str]) -> str:
    described = Counter({each.stratum: each.size for each in sample.strata})
    if len(described) != len(sample.strata):
        return "a stratum is described twice"
    if +described != drawn:
        wrong = min(name for name in described | drawn if described[name] != drawn[name])
        return f"stratum {wrong!r} has {drawn[wrong]:,} rows instead of {described[wrong]:,}"
    if any(each.size > each.population for each in sample.strata):
        return "a stratum has more rows than its population"
    if sample.population != sum(each.population for each in sample.strata):
        return "its strata do not add up to the population"
    return ""


def _find_wrong_probability(sample: Sample, rows: pa.Table) -> str:
    """Return which stratum's probabilities are not its size divided by its population."""
    drawn_from = [each for each in sample.strata if each.size]
    places = pc.index_in(
        rows["stratum"], pa.array([each.stratum for each in drawn_from], pa.string())
    )
    expected = pa.array([each.size / each.population for each in drawn_from], pa.float64())
    given = rows["inclusion_probability"]
    # Another program may round the quotient differently.
    off = pc.abs(pc.subtract(pc.divide(given, expected.take(places.combine_chunks())), 1))
    if _all(pc.less(off, _ROUNDING)):
        return ""
    stratum = rows["stratum"][pc.index(pc.less(off, _ROUNDING), False).as_py()].as_py()
    return (
        f"an inclusion probability in stratum {stratum!r} is not the number of posts drawn from it "
        "divided by its population"
    )


def _is_ascending(values: pa.ChunkedArray) -> bool:
    """Tell whether each value is larger than the one before, so that none is there twice."""
    before: pa.Scalar | None = None
    for chunk in values.chunks:
        if not len(chunk):
            continue
        if before is not None and not pc.less(before, chunk[0]).as_py():
            return False
        if not pc.all(pc.less(chunk[:-1], chunk[1:]), min_count=0, skip_nulls=False).as_py():
            return False
        before = chunk[-1]
    return True


def _count_strata(rows: pa.Table) -> Counter[str]:
    values: Sequence[dict[str, object]] = pc.value_counts(rows["stratum"]).to_pylist()
    return Counter({str(each["values"]): int(str(each["counts"])) for each in values})


def _all(flags: pa.ChunkedArray) -> bool:
    return bool(pc.all(flags, min_count=0).as_py())


def _advice() -> str:
    return (
        "Restore the file, for example from a backup, or draw another sample under another name "
        f"with {SAMPLE_NAME}"
    )
