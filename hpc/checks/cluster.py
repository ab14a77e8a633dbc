"""Look at the cluster: whether it answers, and what it would say to the run's batch script."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hpc.checks.finding import Finding, Part, error, ok, warning
from hpc.executors.base import Executor, ExecutorError, ResourceCheck
from hpc.executors.node_jobs import SubmissionTest
from hpc.run.cluster.resources import Cluster
from hpc.run.model.arrays import Limits, Submission, SubmitLimit
from hpc.run.model.run import Run
from hpc.run.plan import count_waves, tightest
from pipeline.text import counted


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenCluster:
    """What the executor says about a run. Where it did not answer, the values are empty."""

    runs_on_nodes: bool
    """Whether tasks run elsewhere than on this machine."""
    trouble: str = ""
    """Why it does not answer; '' if it does."""
    array_size: int = 0
    resources: ResourceCheck = field(default_factory=ResourceCheck)
    caretaker: ResourceCheck = field(default_factory=ResourceCheck)
    test: SubmissionTest | None = None
    """What it would say to the first array; None without one."""
    submit_limits: tuple[SubmitLimit, ...] = ()
    limits: Limits = field(default_factory=Limits)
    """How far the resources of tasks can grow."""


def observe_cluster(
    executor: Executor,
    run: Run,
    first: Submission | None,
    *,
    trouble: str,
    array_size: int,
) -> SeenCluster:
    """Ask the executor everything about a run that does not exist yet.

    Args:
        executor: what would run its tasks.
        run: the run.
        first: its first array; None if there is nothing to label.
        trouble: why the executor does not answer, if that is known already; it is not asked again.
        array_size: how many indices an array may have.
    """
    runs_on_nodes = executor.node_jobs() is not None
    seen = SeenCluster(runs_on_nodes=runs_on_nodes, trouble=trouble, array_size=array_size)
    if trouble:
        return seen
    cluster = run.cluster
    try:
        return SeenCluster(
            runs_on_nodes=runs_on_nodes,
            array_size=array_size,
            resources=executor.check_resources(cluster.resources),
            caretaker=executor.check_resources(cluster.caretaker),
            test=executor.test_submission(run, first) if first else None,
            submit_limits=executor.submit_limits(cluster),
            limits=executor.limits(run),
        )
    except ExecutorError as failure:
        return SeenCluster(runs_on_nodes=runs_on_nodes, trouble=failure.brief)


def judge_cluster(seen: SeenCluster, cluster: Cluster) -> list[Finding]:
    """Say whether the cluster answers; if it does not, nothing else about it is known."""
    if not seen.runs_on_nodes:
        at_once = counted(cluster.max_parallel, "task")
        return [ok(Part.CLUSTER, f"executor: local; up to {at_once} at a time on this machine")]
    if seen.trouble:
        message = f"Slurm does not answer: {seen.trouble}"
        remedy = (
            "run this on a login node, or try again later; partition, account, script and limits "
            "are not checked"
        )
        return [error(Part.CLUSTER, message, remedy)]
    return [ok(Part.CLUSTER, f"Slurm answers; an array may have {seen.array_size:,} indices")]


def judge_resources(seen: SeenCluster, cluster: Cluster) -> list[Finding]:
    """Say whether the partition can give what a task requests."""
    if seen.trouble or not seen.runs_on_nodes:
        return []
    found = _judge(Part.RESOURCES, "cluster", seen.resources)
    if found:
        return found
    if note := seen.resources.note:
        # sinfo may hide a partition that takes jobs: sbatch decides.
        is_taken = seen.test is None or seen.test.is_accepted
        remedy = "correct cluster.partition, unless you know that it takes jobs"
        return [warning(Part.RESOURCES, f"cluster.partition: {note}", remedy)] if is_taken else []
    resources = cluster.resources
    where = f"partition {resources.partition}" if resources.partition else "the default partition"
    return [ok(Part.RESOURCES, f"{where} can give what a task requests")]


def judge_caretaker(seen: SeenCluster) -> list[Finding]:
    """Say what would keep a caretaker from running; only `submit --caretaker` needs one."""
    return [
        warning(Part.CARETAKER, f"{found.message} (only submit --caretaker needs it)", found.remedy)
        for found in _judge(Part.CARETAKER, "cluster.caretaker", seen.caretaker)
    ]


def _judge(part: Part, path: str, check: ResourceCheck) -> list[Finding]:
    return [
        error(part, f"{path}.{key}: {why}", f"lower {path}.{key}, or change {path}.partition")
        for key, why in check.problems.items()
    ]


def judge_script(seen: SeenCluster) -> list[Finding]:
    """Say whether sbatch would take the script."""
    test = seen.test
    if test is None or not seen.runs_on_nodes:
        return []
    if test.is_accepted:
        return [ok(Part.SCRIPT, "sbatch would accept it (sbatch --test-only)")]
    if test.is_limit:
        remedy = "wait until some of your jobs have ended, or cancel them (squeue --me)"
        return [
            warning(Part.SCRIPT, f"sbatch would not accept all of it now: {test.words}", remedy)
        ]
    if test.may_await_nodes:
        return [
            warning(
                Part.SCRIPT,
                f"no node that is up now can run it: {test.words}",
                "nodes may be down or drained (sinfo -R). If they are not, "
                f"{test.advice or 'correct the section cluster'}",
            )
        ]
    remedy = test.advice or "correct the section cluster, or ask the site's support"
    if note := seen.resources.note:
        remedy = f"correct cluster.partition: {note}"
    return [error(Part.SCRIPT, f"sbatch would reject it: {test.words}", remedy)]


def check_script(executor: Executor, run: Run, submission: Submission) -> list[Finding]:
    """Ask whether a submission would be taken, and judge that alone.

    Nothing is found if the executor does not answer, or if only a limit of submitted jobs is in the
    way: both may pass in a moment.
    """
    try:
        test = executor.test_submission(run, submission)
    except ExecutorError:
        return []
    if test.is_limit:
        return []
    return judge_script(SeenCluster(runs_on_nodes=True, test=test))


def judge_limits(seen: SeenCluster, shards: int, described: Sequence[str]) -> list[Finding]:
    """Say whether all shards fit under the limits of submitted jobs.

    Args:
        seen: what the cluster says.
        shards: how many there are.
        described: what `describe_waves` says about them.
    """
    if seen.trouble or not seen.runs_on_nodes or not shards:
        return []
    limit = tightest(seen.submit_limits)
    if limit is None:
        return [ok(Part.LIMITS, "Slurm shows no limit of submitted jobs")]
    waves = count_waves(shards, seen.submit_limits)
    if waves == 1:
        fit = "fits" if shards == 1 else "fit"
        return [
            ok(
                Part.LIMITS,
                f"{counted(shards, 'shard')} {fit}: {limit.name} leaves room for "
                f"{counted(limit.room, 'job')}",
            )
        ]
    remedy = "let something supervise the run (submit --wait or submit --caretaker)"
    return [warning(Part.LIMITS, described[0] if described else limit.name, remedy)]
