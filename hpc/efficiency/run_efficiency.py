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
    """What the attempts requested, had and used."""
    advice: Advice
    """What the next run should request, and what is not known."""


def run_efficiency(status: RunStatus, *, are_reserved: bool) -> RunEfficiency:
    """Return the efficiency of a run.

    Args:
        status: a look at it that includes the shards that are done.
        are_reserved: whether its executor reserves what a task requests.
    """
    run = status.run
    uses, unknown = attempt_uses(run, status.observation, are_reserved=are_reserved)
    efficiency = measure(uses, unknown)
    advice = advise(
        efficiency,
        resources=run.cluster.resources,
        are_reserved=are_reserved,
        longest_min=run.retry.max_time_min,
    )
    return RunEfficiency(efficiency=efficiency, advice=advice)
