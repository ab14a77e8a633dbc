"""What a name has behind it: the posts that a new run leaves out, and since when it looks for
others."""

from dataclasses import dataclass
from datetime import datetime

import duckdb

from hpc import rundir
from hpc.model import Run
from pipeline import chronicle, ledger, manifest, store
from pipeline.classifiers import base
from pipeline.config import Config
from pipeline.errors import InputError
from pipeline.model import JsonObject
from pipeline.sql import literal


@dataclass(frozen=True, slots=True)
class Taken:
    """`uris` is SQL that yields the posts that have a row, or are in a shard that is not gathered
    yet; None where there are none. `since` is the watermark (UTC); None: from the beginning."""

    uris: str | None
    since: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What decides a label: the same question, comparable labels."""

    classifier: JsonObject
    min_text_length: int

    @property
    def hash(self) -> str:
        return manifest.config_hash(self.classifier, self.min_text_length)


def taken(
    config: Config,
    connection: duckdb.DuckDBPyConnection,
    question: Question,
    *,
    supersede: bool = False,
    retry_reason: str | None = None,
) -> Taken:
    """Looks into the run root and the database, which stays attached to the planning connection.

    Raises InputError where the name's labels answer another question, unless they are to be
    superseded.
    """
    database, parts = config.storage.database, []
    gathered: dict[str, set[int]] = {}
    since = None
    named = rundir.named(config.storage.run_root, config.name)
    if supersede:
        named = [run for run in named if run.manifest.config_hash == question.hash]
    elif named:
        _refuse_another_question(named[-1], question)
    if database.exists():
        with store.opened(database, read_only=True) as labels:
            gathered = {run.run_id: set(chronicle.gathered(labels, run.run_id)) for run in named}
            since = chronicle.watermark(labels, config.name, _first_waiting(named, gathered))
        store.attach(connection, database, "labelled")
        outdated = f"config_hash <> {literal(question.hash)}" if supersede else None
        if retry_reason:
            outdated = (
                "NOT was_successfully_labeled AND "
                f"regexp_extract(reason, '^[^:]*') = {literal(retry_reason)}"
            )
        labelled = ledger.labelled_uris(connection, config.name, "labelled", outdated=outdated)
        parts += [labelled] if labelled else []
    waiting = [
        str(manifest.shard_path(run.folder, index))
        for run in named
        for index in _waiting(run, gathered)
    ]
    if waiting:
        paths = ", ".join(literal(path) for path in waiting)
        parts.append(f"SELECT uri FROM read_parquet([{paths}])")
    return Taken(" UNION ALL ".join(parts) or None, since)


def _refuse_another_question(last: Run, question: Question) -> None:
    """By the newest run: once labels are superseded, theirs is the name's question."""
    if last.manifest.config_hash == question.hash:
        return
    before = {**base.what_decides(last.manifest.classifier)}
    before["min_text_length"] = last.manifest.min_text_length
    now = {**question.classifier, "min_text_length": question.min_text_length}
    keys = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    raise InputError(
        f"the labels under the name {last.manifest.name} were made with another configuration "
        f"(run {last.run_id} differs in {', '.join(keys) or 'its making'}): give it a new name, or "
        "submit --supersede, which labels those posts again and keeps the old rows in table "
        f"superseded_{last.manifest.name}"
    )


def _waiting(run: Run, gathered: dict[str, set[int]]) -> list[int]:
    have = gathered.get(run.run_id, set())
    return [shard.index for shard in run.manifest.shards if shard.index not in have]


def _first_waiting(named: list[Run], gathered: dict[str, set[int]]) -> datetime | None:
    """The time of the oldest post in a shard that is not gathered. The database may not have heard
    of that run yet, and its own watermark be too late."""
    return min(
        (
            datetime.fromisoformat(run.manifest.shards[index].min_preprocessing_timestamp)
            for run in named
            for index in _waiting(run, gathered)
        ),
        default=None,
    )
