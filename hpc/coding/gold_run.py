"""Import codings as a run of their own, which is gathered and rebuilt like every other run.

The run has one shard with the posts of the sample, and its output is published at once. A post that
nobody coded has the reason `not_coded`, so that nothing is silently left out.
"""

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa

from hpc.coding.codebook import Coding
from hpc.coding.coding_record import CodingRecord
from hpc.coding.resolve import Resolved
from hpc.database.run_database import check_writable
from hpc.locks import run_lock
from hpc.planning.new_run.create_run import next_stamp
from hpc.planning.new_run.provenance import git_commit
from hpc.reconcile.checks.trust import check_root
from hpc.run import run_folder
from hpc.run.cluster import resources
from hpc.run.cluster.resources import ClusterSection, ExecutorName
from hpc.run.model.run import Run
from hpc.run.retry_policy import RetryPolicy
from hpc.run.run_folder import PLANNING
from hpc.runs import find_runs
from pipeline import __version__, files
from pipeline.backlog import shards
from pipeline.classifiers import frozen_classifier
from pipeline.classifiers.human import HumanOptions
from pipeline.config.sections import CheckpointSettings, Sharding
from pipeline.database import duckdb_file, history
from pipeline.database.supersede import OTHER_CONFIG
from pipeline.errors import InputError
from pipeline.messages.options import GOLD_NAME, SUPERSEDE
from pipeline.model import SHARD_SCHEMA, Answer, JsonObject
from pipeline.run_files import manifest, output
from pipeline.run_files.answer_row import AnswerRows
from pipeline.run_files.manifest import HUMAN, Manifest
from pipeline.run_files.output import ShardLabels
from pipeline.run_files.portable_paths import project_folders

CODINGS = "codings"
# Of no task: nothing was submitted.
_ATTEMPT = 0
_MIN_TEXT_LENGTH = 1
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
README = """\
This folder is one import of what people coded. Keep all of it.

manifest.json says what was coded, from which sample, and by whom. shards/ holds the posts of the
sample, outputs/ the labels, and codings/ the files that were imported.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldRequest:
    """What to import under which name."""

    name: str
    run_root: Path
    database: Path
    record: CodingRecord
    resolved: Resolved
    codings: Sequence[Coding]
    """What each coder said, which decides whether this was imported already."""
    coders: tuple[str, ...]
    rule: str
    """What was done where coders disagreed; '' if nothing."""
    files: Sequence[Path]
    """The files of the codings."""
    trust_group: bool
    supersede: bool
    """Whether to replace what was imported under this name before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedRun:
    """The run of an import."""

    run: Run
    is_new: bool
    """False if exactly this was imported before."""


def check_gold_name(name: str) -> None:
    """Raise InputError unless labels can have this name: it names a table."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{GOLD_NAME.set_to(name)}: should be up to 41 lower-case letters, digits and _, and "
            "begin with a letter (it names a table)"
        )


def import_run(request: GoldRequest) -> ImportedRun:
    """Create the run, or return the one in which exactly this was imported.

    Raises:
        InputError: the name has other labels, and they are not to be replaced.
        BusyError: another process is planning under the run root.
        OSError: the disk is full, or the database is closed to this user. Nothing is left behind.
    """
    root = request.run_root
    setup = _setup(request)
    busy = f"another submit or import is planning under {root}: wait for it"
    with run_lock.locked(root, busy):
        check_root(root, trusts_group=request.trust_group)
        newest = _check_name(request, setup.config_hash)
        if newest is not None and newest.manifest.config_hash == setup.config_hash:
            return ImportedRun(run=newest, is_new=False)
        check_writable(request.database)
        replaces = "" if newest is None else OTHER_CONFIG
        return ImportedRun(run=_create(request, setup, replaces=replaces), is_new=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Setup:
    """What decides the labels: the questions, the coders, and all that they said."""

    classifier: JsonObject
    config_hash: str


def _setup(request: GoldRequest) -> _Setup:
    classifier: JsonObject = {frozen_classifier.TYPE: HUMAN, **_options(request).to_json()}
    config_hash = manifest.config_hash(frozen_classifier.what_decides(classifier), _MIN_TEXT_LENGTH)
    return _Setup(classifier=classifier, config_hash=config_hash)


def _options(request: GoldRequest) -> HumanOptions:
    said = sorted(
        json.dumps([coding.uri, coding.coder, sorted(coding.values.items())], ensure_ascii=True)
        for coding in request.codings
        if not coding.is_blank
    )
    kept = [sorted(values.items()) for _, values in sorted(request.resolved.values.items())]
    content = json.dumps([said, kept], ensure_ascii=True)
    return HumanOptions(
        sample=request.record.description.sample,
        labels=tuple(label.words for label in request.record.description.labels),
        coders=request.coders,
        resolve=request.rule,
        codings=hashlib.sha256(content.encode()).hexdigest(),
    )


def _check_name(request: GoldRequest, config_hash: str) -> Run | None:
    """Return the newest run of the name; None if the name is free."""
    name = request.name
    runs = find_runs.load_named(request.run_root, name)
    newest = runs[-1] if runs else None
    if duckdb_file.exists(request.database):
        with duckdb_file.open_database(request.database, read_only=True) as labels:
            labeled = history.newest_labeled_run(labels, name)
        if labeled and labeled.run_id not in {run.run_id for run in runs}:
            raise InputError(
                f"{GOLD_NAME.set_to(name)}: {request.database} has labels of that name from run "
                f"{labeled.run_id}, which is not under {request.run_root}: choose another name"
            )
    if newest is None:
        return None
    if not newest.manifest.is_coded_by_people:
        raise InputError(
            f"{GOLD_NAME.set_to(name)}: a classifier has labels of that name; choose another name"
        )
    sample = request.record.description.sample
    if newest.manifest.sample != sample:
        raise InputError(
            f"{GOLD_NAME.set_to(name)}: this name has codings of the sample "
            f"{newest.manifest.sample}, and these are of {sample}: choose another name"
        )
    if newest.manifest.config_hash != config_hash and not request.supersede:
        raise InputError(
            f"{GOLD_NAME.set_to(name)}: other codings were imported under that name (run "
            f"{newest.run_id}). To replace them, add {SUPERSEDE.on}; the old ones stay in table "
            f"superseded_{name}. To keep both, choose another name"
        )
    return newest


def _create(request: GoldRequest, setup: _Setup, *, replaces: str) -> Run:
    root = request.run_root
    now = datetime.now(UTC).replace(tzinfo=None)
    run_id = f"{next_stamp(root, now)}-{request.name}-{uuid.uuid4().hex[:8]}"
    folder = root / f"{PLANNING}{run_id}"
    folder.mkdir()
    try:
        for name in ("outputs", "work", "logs", "submissions", CODINGS):
            (folder / name).mkdir()
        for number, path in enumerate(request.files, 1):
            shutil.copyfile(path, folder / CODINGS / f"{number:02d}-{path.name}")
        posts = _shard_table(request.record.posts)
        sizes = shards.shard_sizes(posts.num_rows, Sharding(shards=1))
        reader = pa.RecordBatchReader.from_batches(posts.schema, posts.to_batches())
        frozen = shards.write_shards(folder, reader, sizes)
        made = _manifest(request, setup, run_id, now)
        made = msgspec.structs.replace(made, shards=frozen, replaces=replaces)
        output.publish(folder, made, 0, _labels(request, posts, now))
        files.write_text(folder / "config.yaml", f"name: {request.name}\n")
        files.write_text(folder / "README", README)
        manifest.write(folder, made, project_folders(root, Path.cwd()))
        folder.rename(root / run_id)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return run_folder.load(root / run_id)


def _manifest(request: GoldRequest, setup: _Setup, run_id: str, now: datetime) -> Manifest:
    checkpoint = CheckpointSettings()
    cluster = resources.resolve(ClusterSection(executor=ExecutorName.LOCAL, max_parallel=1))
    description = request.record.description
    return Manifest(
        format=manifest.FORMAT,
        run_id=run_id,
        name=request.name,
        created_at=now.isoformat(timespec="milliseconds"),
        version=__version__,
        database=str(request.database),
        classifier=setup.classifier,
        config_hash=setup.config_hash,
        min_text_length=_MIN_TEXT_LENGTH,
        checkpoint_rows=checkpoint.rows,
        checkpoint_seconds=checkpoint.seconds,
        retry=RetryPolicy().to_json(),
        cluster=cluster.to_json(),
        array_size=1,
        shards=(),
        commit=git_commit(),
        # The posts were chosen from those of another name, so there is no watermark.
        only_labelled_by=description.name,
        folder=str(request.run_root.resolve() / run_id),
        trust_group=request.trust_group,
        sample=description.sample,
    )


def _shard_table(posts: pa.Table) -> pa.Table:
    reasons = pa.nulls(posts.num_rows, pa.string())
    columns = [*posts.columns, reasons]
    return pa.table(columns, schema=SHARD_SCHEMA).combine_chunks()


def _labels(request: GoldRequest, posts: pa.Table, now: datetime) -> ShardLabels:
    columns = tuple(label.column for label in request.record.description.labels)
    rows = AnswerRows(columns, keep_raw=False)
    resolved = request.resolved
    answers = [
        rows.build(
            Answer(uri, reason=resolved.reasons[uri])
            if uri in resolved.reasons
            else Answer(uri, values=values),
            now,
        )
        for uri, values in resolved.values.items()
    ]
    return ShardLabels(
        posts=posts,
        answers=rows.table(answers),
        columns=columns,
        model=f"human: {', '.join(request.coders)}",
        attempt=_ATTEMPT,
    )
