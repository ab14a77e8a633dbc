"""Measure a run and advise on the next one, from one look at it. Pure."""

from dataclasses import dataclass

from hpc.efficiency.advice import Advice, advise
from hpc.efficiency.attempt_use import attempt_uses
from hpc.efficiency.measure import Efficiency, measure
from hpc.run.run_state import RunStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEfficiency:
    """What a run requested and used, and what the next one should request."""

    efficiency: Efficiency
    advice: Advice


def run_efficiency(status: RunStatus) -> RunEfficiency:
    """Return the efficiency of a run from a look that includes the shards that are done."""
    run = status.run
    uses, unknown = attempt_uses(run, status.observation)
    efficiency = measure(uses, unknown)
    advice = advise(
        efficiency,
        resources=run.cluster.resources,
        executor=run.executor,
        longest_min=run.retry.max_time_min,
    )
    return RunEfficiency(efficiency=efficiency, advice=advice)
