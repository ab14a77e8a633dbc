"""Write and read a run's manifest, and name the files of its folder.

The manifest is written last and once, and never edited. Tasks and verbs read it first.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

from msgspec import field
from msgspec.structs import replace

from pipeline import files, limits
from pipeline.config.check import Problems, shown
from pipeline.config.keys import Count, Positive, Section, key
from pipeline.errors import InputError
from pipeline.model import JsonObject, Receipt, Shard
from pipeline.name_errors import naming
from pipeline.run_files import portable_paths
from pipeline.run_files.json_record import parse_record, parse_version, read_content
from pipeline.run_files.recorded_values import (
    check_folder_name,
    check_naive_time,
    check_path,
    find_with_nul,
)

FORMAT = 2
FILE_NAME = "manifest.json"
# The id of the run is in these bytes. Thousands of shards may follow.
_BEGINNING = 4096
# The keys that hold paths.
_WITH_PATHS = ("database", "classifier", "cluster", "notify", "session")
_SERVER_LOG_ENDING = "_server.log"

# The classifier type of a run that holds the codings of people.
HUMAN = "human"
# That of a run whose posts another engine labels; `hpc adopt` takes its answers.
EXTERNAL = "external"
# The folder of such a run where the other engine is expected to write its answers.
ANSWERS = "answers"


class Manifest(Section, frozen=True, kw_only=True):
    """What a run is: its configuration and its shards.

    Its paths are absolute. In the file, those in the project are relative to the run's folder.
    """

    format: int
    run_id: str
    name: str
    created_at: str
    version: str
    database: str
    classifier: JsonObject
    """The classifier's options with every file inlined: a prompt edited later changes nothing."""
    config_hash: str
    """The hash of what decides a label."""
    min_text_length: Count
    checkpoint_rows: Positive
    checkpoint_seconds: float
    retry: Mapping[str, object]
    cluster: Mapping[str, object]
    array_size: Positive
    """How many indices one array may hold, so that a shard keeps its index on every attempt."""
    shards: tuple[Shard, ...]
    commit: str = ""
    """The commit of the project's checkout; '' if there is none."""
    replaces: str = ""
    """Which rows of the database the run's labels replace; '' for none."""
    only_labelled_by: str = ""
    """The name whose labeled posts the run chose from; such a run does not move the watermark."""
    folder: Annotated[str, key("Where the run was created.", omit_default=True)] = ""
    """Tells a copy from the run itself. '' where an older version does not say it."""
    trust_group: Annotated[
        bool | None, key("Whether others may write to the run.", omit_default=True)
    ] = None
    """None where an older version made the run."""
    sample: Annotated[str | None, key("The sample of the run's posts.", omit_default=True)] = None
    """The name of the sample that the run's posts are from; such a run does not move the watermark.
    None if they are no sample."""
    ask_each_text_once: Annotated[
        bool, key("Whether posts with the same text share one answer.", omit_default=True)
    ] = False
    """False where an older version made the run: each of its posts is asked about."""
    after: Annotated[
        tuple[str, ...], key("Jobs that have to succeed before the first task.", omit_default=True)
    ] = ()
    """Slurm's ids of jobs of others, such as `4711` or `4711_3`."""
    canary: Annotated[
        bool, key("Whether the run's posts are a canary of more to come.", omit_default=True)
    ] = False
    """A canary runs first and measures what the other posts will take."""
    notify: Annotated[
        Mapping[str, object],
        key("The command that is run for events of the run.", omit_default=True),
    ] = field(default_factory=dict)
    session: Annotated[
        Mapping[str, object],
        key("How much of the machine DuckDB may take.", omit_default=True),
    ] = field(default_factory=dict)
    """Only what differs from a login node's share."""
    layout: Annotated[
        str, key("Where the labels are kept if their name has none yet.", omit_default=True)
    ] = "duckdb"
    needs_numpy: Annotated[
        bool, key("Whether tasks import PyArrow with NumPy.", omit_default=True)
    ] = True
    """True where an older version made the run."""

    @property
    def is_coded_by_people(self) -> bool:
        """Return whether people assigned the labels, so that no task ever ran."""
        return self.classifier.get("type") == HUMAN

    @property
    def is_labeled_elsewhere(self) -> bool:
        """Return whether another engine labels the posts, so that no task ever runs."""
        return self.classifier.get("type") == EXTERNAL

    @property
    def created(self) -> datetime:
        """Return when the run was created (UTC, naive), for comparisons with other runs."""
        return datetime.fromisoformat(self.created_at).replace(tzinfo=None)

    @property
    def posts(self) -> int:
        """The number of posts in all shards."""
        return sum(shard.posts for shard in self.shards)

    def receipt(self, index: int) -> Receipt:
        """Return what a shard's output carries in its footer as proof."""
        shard = self.shards[index]
        return Receipt(run_id=self.run_id, shard_index=index, input_sha256=shard.sha256)

    def part_metadata(self, index: int) -> dict[str, str]:
        """Return what a shard's checkpoint parts carry: the receipt and the configuration."""
        return {**self.receipt(index).metadata(), "hpc.config_hash": self.config_hash}


def config_hash(classifier: Mapping[str, object], min_text_length: int) -> str:
    """Return 16 hex digits over what decides a label: equal hashes mean comparable labels."""
    what = json.dumps([classifier, min_text_length], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(what.encode()).hexdigest()[:16]


def write(run_dir: Path, manifest: Manifest, project: Sequence[Path] = ()) -> None:
    """Write the manifest of a new run; it appears whole or not at all.

    Args:
        run_dir: the run's folder, or one beside it that will be renamed.
        manifest: what to write.
        project: folders that move together with the run's; paths in them become relative.
    """
    values = manifest.to_json()
    paths = {key: values[key] for key in _WITH_PATHS if key in values}
    relative = portable_paths.relative(paths, run_dir, project)
    files.write_json(run_dir / FILE_NAME, {**values, **relative})


def read(run_dir: Path) -> Manifest:
    """Read the manifest of a run's folder.

    Raises:
        InputError: there is no run, or one that this version cannot read; the message names the
            file and what is wrong with it.
    """
    path = run_dir / FILE_NAME
    try:
        content = read_content(path)
    except OSError as error:
        raise InputError(f"{run_dir} is not a run: {path.name}: {error.strerror}") from None
    made_by = parse_version(content, source=str(path), kind="a manifest")
    if made_by.format != FORMAT:
        raise InputError(
            f"{run_dir} was made by another version (run format {made_by.format}, written by "
            f"version {made_by.version}; this is {FORMAT}): use that version for it"
        )
    made = parse_record(content, Manifest, source=str(path))
    _check_values(made, str(path))
    return _at_its_place(made, run_dir)


def _check_values(made: Manifest, source: str) -> None:
    """Raise an InputError that names each value which the rest of the program could not use."""
    found = {
        "run_id": check_folder_name(made.run_id),
        "name": check_folder_name(made.name),
        "created_at": check_naive_time(made.created_at.removesuffix("+00:00")),
        "database": check_path(made.database),
        "folder": check_path(made.folder),
        "shards": "" if made.shards else "should be a list of 1 or more shards, not []",
    }
    for index, shard in enumerate(made.shards):
        if shard.index != index:
            found[f"shards[{index}].index"] = f"should be {index}, not {shard.index}"
        if problem := check_naive_time(shard.min_preprocessing_timestamp):
            found[f"shards[{index}].min_preprocessing_timestamp"] = problem
        if problem := check_naive_time(shard.max_preprocessing_timestamp):
            found[f"shards[{index}].max_preprocessing_timestamp"] = problem
    if not isinstance(kind := made.classifier.get("type"), str):
        found["classifier.type"] = f"should be text, not {shown(kind)}"
    for name in ("cluster", "notify", "session"):
        if place := find_with_nul(getattr(made, name), name):
            found[place] = "holds a NUL character"
    problems = Problems()
    for name, problem in found.items():
        if problem:
            problems.add(source, name, problem)
    problems.raise_any()


def _at_its_place(manifest: Manifest, run_dir: Path) -> Manifest:
    """Return a manifest with its paths where the run's folder is now."""
    values: dict[str, object] = {key: getattr(manifest, key) for key in _WITH_PATHS}
    if manifest.folder:
        return replace(manifest, **portable_paths.absolute(values, run_dir))
    project = portable_paths.former_project(run_dir, manifest.database)
    if project is None:
        return manifest
    former, now = project
    if former != now:
        values = portable_paths.move_paths(values, former, now)
    folder = former / run_dir.resolve().relative_to(now)
    return replace(manifest, **values, folder=str(folder))


def read_beginning(path: Path) -> bytes:
    """Return the first bytes of a manifest, which name the run.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
    """
    with naming(path), os.fdopen(limits.open_regular(path), "rb") as stream:
        return stream.read(_BEGINNING)


def shard_path(run_dir: Path, index: int) -> Path:
    """Return the file of a shard's posts."""
    return run_dir / "shards" / shard_name(index)


def shard_name(index: int) -> str:
    """Return the file name of a shard's posts."""
    return f"{index:05d}.parquet"


def output_name(index: int) -> str:
    """Return the file name of a shard's output."""
    return f"{index:05d}.parquet"


def output_path(run_dir: Path, index: int) -> Path:
    """Return the file of a shard's published output."""
    return run_dir / "outputs" / output_name(index)


def raw_path(run_dir: Path, index: int, publication: str) -> Path:
    """Return the file of a shard's responses; the output's footer names the publication."""
    return run_dir / "raw" / f"{index:05d}-{publication}.parquet"


def work_name(index: int) -> str:
    """Return the name of the folder of a shard's checkpoint parts, journals and heartbeats."""
    return f"{index:05d}"


def work_path(run_dir: Path, index: int) -> Path:
    """Return the folder of a shard's checkpoint parts, journals and heartbeats."""
    return run_dir / "work" / work_name(index)


def log_path(run_dir: Path, attempt: int) -> Path:
    """Return the folder of an attempt's logs and last words."""
    return run_dir / "logs" / f"{attempt:04d}"


def server_log_path(run_dir: Path, attempt: int, index: int) -> Path:
    """Return the log file of the server that a task starts for itself."""
    return log_path(run_dir, attempt) / f"{index:05d}{_SERVER_LOG_ENDING}"


def shard_of_server_log(name: str) -> int | None:
    """Return the shard that a server's log of this name belongs to; None for other files."""
    if not name.endswith(_SERVER_LOG_ENDING):
        return None
    shard = name.removesuffix(_SERVER_LOG_ENDING)
    return int(shard) if shard.isdecimal() else None
