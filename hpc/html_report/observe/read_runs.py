"""Read how far runs are, and how their tasks ended.

A run that is complete and gathered is read from the database. The executor is asked about any other
run, as `status` asks it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from hpc.database.history_rows import attempt_rows
from hpc.executors.factory import executor_of
from hpc.html_report.facts import AttemptFacts, Outcome, Quota, RunFacts
from hpc.reconcile.look import look
from hpc.run.model.attempts import TaskRecord
from hpc.run.model.run import Run
from hpc.run.outputs import verify_outputs
from hpc.run.run_folder import run_at
from hpc.run.run_state import RunState, RunStatus
from hpc.traces.task_files import TaskFiles
from pipeline.database import duckdb_file
from pipeline.database.duckdb_file import SHORT_PATIENCE, HeldDatabaseError
from pipeline.run_files.manifest import output_name
from pipeline.run_files.output import OutputCheck
from pipeline.usage import cost_options

_COLUMNS = (
    "run_id", "shard_index", "attempt", "slurm_state", "cause", "elapsed_s", "max_rss_mb",
    "mem_gb", "time_min", "submitted_at", "started_at", "ended_at",
)  # fmt: skip
_Row = Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class _History:
    """What the database says about the tasks of runs."""

    complete: frozenset[str] = frozenset()
    """The runs that it knows to be complete."""
    attempts: Mapping[str, Sequence[_Row]]
    """By run."""
    digests: Mapping[str, Mapping[int, str]]
    """By run and shard, the SHA-256 of the gathered output."""


def read_runs(
    runs: Sequence[Run], database: Path
) -> tuple[tuple[RunFacts, ...], tuple[AttemptFacts, ...]]:
    """Return how far runs are, and the attempts of their shards.

    Args:
        runs: the runs, oldest first.
        database: where they may be gathered; it need not exist, and may be in use.

    Raises:
        InputError: the folder of a run has gone meanwhile.
    """
    history = _read_history([run.run_id for run in runs], database)
    facts: list[RunFacts] = []
    attempts: list[AttemptFacts] = []
    for run in runs:
        checks = verify_outputs(run)
        published = [check.verified for check in checks]
        rows = history.attempts.get(run.run_id, ())
        is_settled = all(published) and (
            run.manifest.is_coded_by_people or run.run_id in history.complete
        )
        status = None if is_settled else look(run, executor_of(run), include_done=True)
        if status:
            checks = tuple(shard.output for shard in status.observation.shards)
            published = [check.verified for check in checks]
            rows = [{"run_id": run.run_id, **row} for row in attempt_rows(run, status.observation)]
        numbers = [int(str(row["attempt"])) for row in rows]
        digests = history.digests.get(run.run_id, {})
        facts.append(_facts(run, published, status, digests, numbers))
        records = _records(run, status)
        attempts += [
            _with_cpus(each, records.get((int(str(row["attempt"])), each.shard)))
            for each, row in zip(_attempts(rows, checks), rows, strict=True)
        ]
    return tuple(facts), tuple(attempts)


def _read_history(run_ids: Sequence[str], database: Path) -> _History:
    nothing = _History(attempts={}, digests={})
    if not duckdb_file.exists(database):
        return nothing
    try:
        with duckdb_file.open_database(
            database, read_only=True, patience=SHORT_PATIENCE
        ) as connection:
            return _query_history(connection, run_ids)
    except HeldDatabaseError:
        return nothing


def _query_history(connection: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> _History:
    chosen = [list(run_ids)]
    attempts: dict[str, list[_Row]] = {}
    for values in connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM attempts WHERE list_contains(?, run_id) "
        "ORDER BY run_id, shard_index, attempt",
        chosen,
    ).fetchall():
        row = dict(zip(_COLUMNS, values, strict=True))
        attempts.setdefault(str(row["run_id"]), []).append(row)
    digests: dict[str, dict[int, str]] = {}
    described = {row[0] for row in connection.execute("DESCRIBE shards").fetchall()}
    if "output_sha256" in described:  # a database of an earlier version lacks it
        for run_id, index, digest in connection.execute(
            "SELECT run_id, shard_index, output_sha256 FROM shards WHERE gathered_at IS NOT NULL "
            "AND output_sha256 IS NOT NULL AND list_contains(?, run_id)",
            chosen,
        ).fetchall():
            digests.setdefault(run_id, {})[index] = digest
    complete = connection.execute(
        "SELECT run_id FROM runs WHERE state = ? AND list_contains(?, run_id)",
        [str(RunState.COMPLETE), *chosen],
    ).fetchall()
    return _History(
        complete=frozenset(run_id for (run_id,) in complete), attempts=attempts, digests=digests
    )


def _quotas(run: Run, attempts: Iterable[int]) -> tuple[Quota | None, ...]:
    """Return the quotas of a run's attempts, in order, each as long as it held.

    Args:
        run: the run.
        attempts: the numbers of its submissions; if none is known, the quota of today counts.
    """
    quotas: list[Quota | None] = []
    for configured in [run_at(run, number) for number in sorted(set(attempts))] or [run]:
        costs = cost_options(configured.manifest.classifier)
        requests = costs.requests_per_minute
        posts = (requests or 0) * costs.posts_together // costs.requests_per_post
        quota = Quota(requests, posts) if requests else None
        if not quotas or quotas[-1] != quota:
            quotas.append(quota)
    return tuple(quotas)


def _facts(
    run: Run,
    published: Sequence[bool],
    status: RunStatus | None,
    digests: Mapping[int, str],
    attempts: Iterable[int],
) -> RunFacts:
    manifest = run.manifest
    posts_published = sum(
        shard.posts for shard, done in zip(manifest.shards, published, strict=True) if done
    )
    return RunFacts(
        run_id=run.run_id,
        created_at=manifest.created,
        state=str(status.state) if status else str(RunState.COMPLETE),
        posts=manifest.posts,
        posts_published=posts_published,
        posts_answered=status.posts_done if status else manifest.posts,
        shards=len(manifest.shards),
        shards_published=sum(published),
        version=manifest.version,
        commit=manifest.commit,
        config_hash=manifest.config_hash,
        is_under_way=status.is_under_way if status else False,
        quotas=_quotas(run, attempts),
        price=cost_options(manifest.classifier).price,
        corrections=tuple(
            sorted({change.key for each in run.amendments for change in each.changes})
        ),
        outputs_digest=digest_of(digests, published),
    )


def digest_of(digests: Mapping[int, str], published: Sequence[bool]) -> str:
    """Return the SHA-256 of what `sha256sum *.parquet` prints in the folder of the outputs.

    Empty where an output is not published, or its digest is not known.

    Args:
        digests: of each output, by its shard.
        published: which shards have an output.
    """
    if not all(published) or any(index not in digests for index in range(len(published))):
        return ""
    lines = (f"{digests[index]}  {output_name(index)}\n" for index in range(len(published)))
    return hashlib.sha256("".join(sorted(lines, key=lambda line: line[66:])).encode()).hexdigest()


def _attempts(rows: Sequence[_Row], checks: Sequence[OutputCheck]) -> list[AttemptFacts]:
    """Return the attempts in order, numbered within their shard."""
    last = {row["shard_index"]: row["attempt"] for row in rows}
    counts: dict[object, int] = {}
    attempts = []
    for row in rows:
        shard = row["shard_index"]
        assert isinstance(shard, int)
        counts[shard] = counts.get(shard, 0) + 1
        has_published = row["attempt"] == last[shard] and checks[shard].verified
        attempts.append(
            AttemptFacts(
                run_id=str(row["run_id"]),
                shard=shard,
                number=counts[shard],
                outcome=_outcome(row, has_published=has_published),
                submitted_at=_time(row["submitted_at"]),
                started_at=_time(row["started_at"]),
                ended_at=_time(row["ended_at"]),
                elapsed_s=_number(row["elapsed_s"]),
                max_rss_mb=_number(row["max_rss_mb"]),
                own_peak_mb=checks[shard].peak_mb if has_published else None,
                mem_gb=_number(row["mem_gb"]),
                time_min=_number(row["time_min"]),
            )
        )
    return attempts


def _records(run: Run, status: RunStatus | None) -> Mapping[tuple[int, int], TaskRecord]:
    """Return what the executor last said of tasks, by attempt and shard.

    The database lacks their CPU time. Of a settled run, the packed logs have it; where these cannot
    be read now, it stays unknown.
    """
    if status:
        return {
            (attempt.number, shard.index): attempt.record
            for shard in status.observation.shards
            for attempt in shard.attempts
            if attempt.record
        }
    packed = TaskFiles(run).packed
    return {key: task.record for key, task in packed.items() if task.record}


def _with_cpus(attempt: AttemptFacts, record: TaskRecord | None) -> AttemptFacts:
    """Return an attempt with the CPUs that it had and kept busy, as far as that is known."""
    if record is None or record.cpu_s is None or not record.elapsed_s or not record.alloc_cpus:
        return attempt
    # Whole seconds hide some of the time of a short task.
    busy = min(record.cpu_s / record.elapsed_s, float(record.alloc_cpus))
    return replace(attempt, busy_cpus=busy, cpus=record.alloc_cpus)


def _outcome(row: _Row, *, has_published: bool) -> str:
    if row["cause"]:
        return str(row["cause"])
    if has_published:
        return Outcome.PUBLISHED
    return Outcome.UNDER_WAY if row["slurm_state"] and not row["ended_at"] else Outcome.UNKNOWN


def _time(value: object) -> datetime | None:
    """Return a time without its time zone, which is UTC, as the database has it."""
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
