"""Keep what coders were given: the texts, the questions, and how the texts were divided.

The record lies beside the runs, `codings/<sample>.parquet`, and never changes: codings are checked
against it, and later estimates need to know which posts could have been drawn.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from hpc.coding.codebook import CodedLabel
from pipeline import files
from pipeline.backlog.own_files import CODING_METADATA, CODINGS
from pipeline.config.keys import Section
from pipeline.database.coding_frame import ShardRange, StratumRule
from pipeline.errors import DamagedError, InputError
from pipeline.messages.options import SAMPLE_NAME
from pipeline.model import POST_COLUMNS
from pipeline.run_files import read_parquet, sample_file
from pipeline.run_files.json_record import parse_record
from pipeline.run_files.sample_file import check_name

_ENDING = ".parquet"
_FORMAT = 1
_SCHEMA = pa.schema(POST_COLUMNS)


class CodingDescription(Section, frozen=True, kw_only=True):
    """What coders were asked about which texts."""

    format: int = _FORMAT
    sample: str
    name: str
    """The name whose labels the texts were drawn from."""
    labels: tuple[CodedLabel, ...]
    rule: StratumRule
    shards: tuple[ShardRange, ...]
    """The shards that had labels when the sample was drawn."""
    coders: tuple[str, ...]
    overlap: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CodingRecord:
    """What coders were asked, and the posts."""

    description: CodingDescription
    posts: pa.Table
    """In POST_COLUMNS, oldest first."""

    @property
    def columns(self) -> dict[str, CodedLabel]:
        """Return the labels by name."""
        return {label.name: label for label in self.description.labels}


def path_of(run_root: Path, sample: str) -> Path:
    """Return the file of a sample's record."""
    return run_root / CODINGS / f"{sample}{_ENDING}"


def list_samples(run_root: Path) -> list[str]:
    """Return the names of the samples that were drawn for coders, sorted.

    Raises:
        UnreadableError: the folder cannot be read now.
    """
    return [
        name.removesuffix(_ENDING)
        for name in files.names_in(run_root / CODINGS)
        if name.endswith(_ENDING) and not name.startswith(".")
    ]


def write(run_root: Path, record: CodingRecord) -> Path:
    """Write a record, which must not exist yet, and return its file. An equal one stays.

    Raises:
        InputError: the sample was drawn before, with other texts or other questions.
        OSError: the disk is full.
    """
    description = record.description
    check_name(description.sample)
    path = path_of(run_root, description.sample)
    path.parent.mkdir(parents=True, exist_ok=True)
    posts = record.posts.select(_SCHEMA.names).cast(_SCHEMA)
    metadata = {CODING_METADATA: json.dumps(description.to_json(), ensure_ascii=False).encode()}
    try:
        files.write_new_parquet(path, posts.replace_schema_metadata(metadata))
    except FileExistsError:
        there = read(run_root, description.sample)
        if there.description != description or not there.posts.equals(posts):
            raise InputError(
                f"{path} is another sample of this name, with other texts, labels or coders, and "
                f"no sample is ever overwritten: give this one another name with {SAMPLE_NAME}"
            ) from None
    return path


def read(run_root: Path, sample: str) -> CodingRecord:
    """Return a sample's record.

    Raises:
        InputError: there is none, or another version wrote it.
        UnreadableError: the file cannot be read now.
        DamagedError: the file is damaged.
    """
    path = path_of(run_root, sample)
    try:
        table = read_parquet.read_table(path)
    except FileNotFoundError:
        samples = ", ".join(list_samples(run_root)) or "none"
        if reason := _why_missing(run_root, sample):
            raise InputError(f"{reason}; of the samples for coders there are: {samples}") from None
        raise InputError(
            f"there is no sample {sample} for coders under {run_root}; there are: {samples}"
        ) from None
    content = (table.schema.metadata or {}).get(CODING_METADATA)
    if content is None:
        raise DamagedError(path, "it has no entry `coding`, so it is no sample for coders")
    description = parse_record(content, CodingDescription, source=str(path))
    posts = table.replace_schema_metadata()
    if description.sample != sample or not posts.schema.equals(_SCHEMA):
        raise DamagedError(path, "it is not the record of this sample")
    return CodingRecord(description=description, posts=posts)


def _why_missing(run_root: Path, sample: str) -> str:
    """Return why a sample has no record; '' if there is no such sample."""
    try:
        kind = sample_file.read_description(sample_file.path_of(run_root, sample)).kind
    except FileNotFoundError:
        return ""
    if kind == sample_file.SUBMIT:
        return (
            f"{sample} is a sample of hpc submit, and people were not asked about it. To draw "
            "posts to code from the labels of its run, type: hpc sample NAME"
        )
    return (
        f"there is no {path_of(run_root, sample)}, against which codings are checked: run the same "
        "hpc sample command again, or restore the file"
    )
