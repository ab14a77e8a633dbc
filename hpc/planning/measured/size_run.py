"""Size the shards of a new run by what is known about its tasks, and its cluster's limits."""

from hpc.executors.factory import create_executor
from hpc.planning.estimate import quota_in_posts
from hpc.planning.measured.pace import RunPace
from hpc.planning.measured.shard_size import ShardSize, SizeRequest, choose_shard_size
from hpc.planning.run_spec import RunSpec
from hpc.run.plan import tightest
from pipeline.config.sections import DEFAULT_ROWS_PER_SHARD

SUGGESTED_MINUTES = 20.0
"""A target for whoever has set none: long beside a start-up, and short beside a time limit."""


def size_shards(
    spec: RunSpec, pace: RunPace | None, *, posts: int, asked: int, minutes: float | None = None
) -> ShardSize | None:
    """Return how many posts a shard should hold; None if the configuration has no target.

    Args:
        spec: the configuration.
        pace: how fast earlier tasks were; None if nothing was measured.
        posts: how many posts the run will have.
        asked: how many of these the classifier is asked about.
        minutes: how long a task should take; by default, what the configuration says.
    """
    sharding, cluster = spec.config.sharding, spec.config.cluster
    target = minutes or sharding.target_minutes
    if not target:
        return None
    executor = create_executor(cluster)
    # A plan that is made without the cluster does not ask it again.
    limit = None if spec.cluster_trouble else tightest(executor.submit_limits(cluster))
    return choose_shard_size(
        SizeRequest(
            posts=posts,
            asked=asked,
            target_minutes=target,
            measured_per_minute=pace.per_minute if pace else None,
            startup_minutes=pace.startup_minutes if pace else 0.0,
            quota_per_minute=quota_in_posts(spec.cost_options),
            tasks_at_once=cluster.max_parallel,
            time_limit_minutes=executor.time_limit(cluster.resources),
            most_jobs=limit.most if limit else None,
            default_rows=sharding.rows_per_shard or DEFAULT_ROWS_PER_SHARD,
        )
    )
