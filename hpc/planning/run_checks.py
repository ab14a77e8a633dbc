"""Check a run that does not exist yet, with a table that has an entry for each part.

Those of `CHEAP` need no service and no job, so that `submit` makes them too. `hpc check` makes all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from msgspec.structs import replace

from hpc.checks.cluster import (
    SeenCluster,
    check_script,
    judge_caretaker,
    judge_cluster,
    judge_limits,
    judge_resources,
    judge_script,
    observe_cluster,
)
from hpc.checks.finding import Finding, Level, Part, error, ok, raise_errors, warning
from hpc.checks.key import judge_key
from hpc.checks.run_root import SeenFolder, judge_folder, observe_folder
from hpc.checks.space import Need, estimate_need, judge_disk, judge_inodes, observe_disk
from hpc.checks.time_limit import ShardTimes, judge_time
from hpc.executors.base import Executor
from hpc.planning.new_run.create_run import run_before_creation
from hpc.planning.new_run.describe_draft import describe_waves, workload
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.run_spec import RunSpec, Selection
from hpc.planning.service_end import describe_end, until_end
from hpc.reconcile.checks.preflight import find_python_problem
from hpc.run.array_plan import plan_arrays
from hpc.run.cluster.resource_requests import first_request
from hpc.run.model.arrays import ShardGroup, Submission
from hpc.run.model.run import Run, Say
from hpc.run.plan import count_waves
from hpc.run.submissions import plan_intents


@dataclass(frozen=True, kw_only=True)  # without slots, so that what is observed once is kept
class Subject:
    """What is checked: a configuration, and the run that it would make."""

    spec: RunSpec
    executor: Executor
    selection: Selection
    draft: RunDraft | None = None
    """What the run would take; None if nobody knows, so that one shard stands for all."""
    spare_jobs: int = 0
    """How many jobs look after the run."""
    missing_key: Level = Level.ERROR
    """How bad it is that there is no API key."""
    is_node_asked: bool = False
    """Whether a job on a node looks at the run root too."""

    @cached_property
    def now(self) -> datetime:
        """Return the time (UTC) of all checks."""
        return datetime.now(UTC)

    @cached_property
    def run(self) -> Run:
        """Return the run as it would be created."""
        return run_before_creation(self.spec, self.selection, self.now.replace(tzinfo=None))

    @property
    def shards(self) -> int:
        """Return how many shards the run would have."""
        return self.draft.sizes.count if self.draft else 1

    @cached_property
    def first_array(self) -> Submission | None:
        """Return its first submission; None if there is nothing to submit."""
        if not self.shards:
            return None
        plans = plan_arrays(
            [
                ShardGroup(
                    shards=tuple(range(self.shards)),
                    request=first_request(self.run.cluster.resources),
                )
            ],
            array_size=self.spec.array_size,
            max_parallel=self.run.cluster.max_parallel,
        )
        first = replace(plans[0], upstream=self.run.manifest.after)
        return plan_intents(self.run, [first], self.now)[0]

    @cached_property
    def cluster(self) -> SeenCluster:
        """Return what the cluster says."""
        return observe_cluster(
            self.executor,
            self.run,
            self.first_array,
            trouble=self.spec.cluster_trouble,
            array_size=self.spec.array_size,
        )

    @cached_property
    def folder(self) -> SeenFolder:
        """Return what is seen of the run root."""
        storage = self.spec.config.storage
        return observe_folder(storage.run_root, trusts_group=storage.trust_group)

    @property
    def need(self) -> Need:
        """Return what the run needs of disks."""
        return estimate_need(
            posts=self.draft.counts.posts if self.draft else 0,
            shards=self.shards,
            keeps_raw=bool(self.spec.classifier.get("keep_raw")),
        )

    @property
    def waves(self) -> int | None:
        """Return in how many waves the run would be submitted; None if no job fits now."""
        return count_waves(self.shards, self.cluster.submit_limits, spare_jobs=self.spare_jobs)

    @property
    def described_waves(self) -> list[str]:
        """Return the same in words; nothing if there is one."""
        if self.draft is None:
            return []
        limits = self.cluster.submit_limits
        return describe_waves(self.draft, limits, self.waves, spare_jobs=self.spare_jobs)

    @property
    def times(self) -> ShardTimes:
        """Return what is known of how long its shards take."""
        cluster = self.spec.config.cluster
        work = workload(self.spec, self.draft) if self.draft else None
        rate = work.rate if work else None
        return ShardTimes(
            shards=self.shards if self.draft else 0,
            posts=self.draft.sizes.largest if self.draft else 0,
            parallel=min(cluster.max_parallel, max(1, self.shards)),
            limit_min=cluster.resources.time_min,
            partition_min=self.cluster.limits.time_min,
            startup_min=work.startup_minutes if work else 0.0,
            shard_min=work.shard_minutes if work else None,
            is_by_quota=rate is not None and rate.is_by_quota,
        )


Check = Callable[[Subject], list[Finding]]


def _check_key(subject: Subject) -> list[Finding]:
    return judge_key(subject.spec.classifier, subject.spec.lacks, level=subject.missing_key)


def _check_service_end(subject: Subject) -> list[Finding]:
    spec = subject.spec
    end = until_end(spec.service_end, subject.now, spec.cost_options)
    posts = subject.draft.posts_to_ask if subject.draft else 1
    lines = [line.removeprefix("warning: ") for line in describe_end(end, posts)]
    if end is None or not lines:
        return []
    remedy = "see docs/how-to/before-31-december-2026.md"
    if end.has_ended:
        return [error(Part.SERVICE_END, lines[0], remedy)]
    if end.posts is not None and posts > end.posts:
        return [warning(Part.SERVICE_END, lines[0], remedy)]
    return [ok(Part.SERVICE_END, lines[0])]


def _check_run_root(subject: Subject) -> list[Finding]:
    has_nodes = subject.cluster.runs_on_nodes
    return judge_folder(subject.folder, has_nodes=has_nodes, is_proven=subject.is_node_asked)


def _check_disk(subject: Subject) -> list[Finding]:
    if subject.draft is None:  # why nobody knows the posts is an error of its own
        return []
    storage = subject.spec.config.storage
    places = observe_disk(storage.run_root), observe_disk(storage.database)
    return judge_disk(subject.need, *places, has_quota=subject.folder.is_shared)


def _check_inodes(subject: Subject) -> list[Finding]:
    if subject.draft is None:
        return []
    seen = observe_disk(subject.spec.config.storage.run_root)
    return judge_inodes(subject.need, seen, has_quota=subject.folder.is_shared)


def _check_python(subject: Subject) -> list[Finding]:
    python = subject.spec.config.cluster.resources.python
    if problem := find_python_problem(python):
        return [error(Part.PYTHON, f"cluster.python: {problem}", "correct cluster.python")]
    if "/" not in python:
        where = "is looked up where a task runs; hpc check --node tries it"
        return [ok(Part.PYTHON, f"{python} {where}")]
    return [ok(Part.PYTHON, f"{python} is there")]


def _check_time(subject: Subject) -> list[Finding]:
    return judge_time(subject.times, has_limits=subject.cluster.runs_on_nodes)


CHEAP: Mapping[Part, Check] = {
    Part.KEY: _check_key,
    Part.SERVICE_END: _check_service_end,
    Part.RUN_ROOT: _check_run_root,
    Part.DISK: _check_disk,
    Part.INODES: _check_inodes,
    Part.PYTHON: _check_python,
    Part.CLUSTER: lambda subject: judge_cluster(subject.cluster, subject.spec.config.cluster),
    Part.RESOURCES: lambda subject: judge_resources(subject.cluster, subject.spec.config.cluster),
    Part.SCRIPT: lambda subject: judge_script(subject.cluster),
    Part.LIMITS: lambda subject: judge_limits(
        subject.cluster, subject.shards, subject.described_waves
    ),
    Part.TIME: _check_time,
    Part.CARETAKER: lambda subject: judge_caretaker(subject.cluster),
}


def check_cheaply(subject: Subject) -> list[Finding]:
    """Return what all cheap checks find: none of them asks the service or runs a job."""
    return [finding for check in CHEAP.values() for finding in check(subject)]


def reject_hopeless(subject: Subject, say: Say) -> None:
    """Reject a run that sbatch or the disk would not take, before its posts are frozen.

    Of the cheap checks, these are what `submit` does not find out by itself, and early. A cluster
    that does not answer now may do so in a moment.

    Raises:
        RunError: the run would fail.
    """
    first = subject.first_array
    findings = [*_check_disk(subject), *_check_inodes(subject)]
    # Everything else about the cluster was looked at before.
    findings += check_script(subject.executor, subject.run, first) if first else []
    raise_errors(findings, say, "nothing was submitted; hpc check shows everything")
