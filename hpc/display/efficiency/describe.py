"""Describe what the tasks of a run requested and used, for people and for programs. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from hpc.display.blocks import Block, Line, Table, Tone
from hpc.efficiency.advice import Advice
from hpc.efficiency.advice import Line as AdviceLine
from hpc.efficiency.measure import Efficiency, Hours, Spread, peak_source
from hpc.efficiency.run_efficiency import RunEfficiency
from hpc.efficiency.sampled_memory import OWN_COUNT, SOURCE
from hpc.run.cluster.slurm_time import format_slurm_time
from pipeline.errors import Cause
from pipeline.text import counted, format_memory

# `supervise` says nothing about a run that cost less than this: it may only have been a test.
LEAST_HOURS = 0.5
# Of the node hours, what may be wasted without a word at the end of `supervise`.
MUCH_WASTED = 0.1
# `supervise` advises to request less if less than this share was needed.
MUCH_TOO_MUCH = 0.5
_MIB_PER_GIB = 1024
_LEAST_SHOWN = 0.001
_RESOURCES = ("OF A TASK", "REQUESTED", "ALLOCATED", "MEDIAN", "95 %", "MOST", "USED")
_HOURS = ("HOURS", "ALLOCATED", "USED", "WASTED")
_HEADING = "For the next run with as many posts per shard, in the section cluster or its template:"


def describe_efficiency(found: RunEfficiency) -> list[Block]:
    """Return tables of what was requested, used and wasted, and the lines for the next run."""
    efficiency = found.efficiency
    blocks: list[Block] = [Line(""), Line(_attempts(efficiency))]
    for header, rows in (
        (_RESOURCES, tuple(_resources(efficiency))),
        (_HOURS, tuple(_hours(efficiency))),
    ):
        if rows:
            numbers = frozenset(range(1, len(header)))
            blocks += [Line(""), Table(header=header, rows=rows, right_aligned=numbers)]
    if peak_source(efficiency.published) == OWN_COUNT:
        blocks.append(Line(f"  the highest peak of memory is from {OWN_COUNT}", Tone.FAINT))
    if causes := _causes(efficiency):
        blocks.append(Line(f"  node hours in attempts that failed: {causes}", Tone.PENDING))
    blocks += _advice(found.advice)
    return blocks


def describe_worthwhile(found: RunEfficiency) -> list[str]:
    """Return a few lines for the end of `supervise`; none if nothing is worth changing."""
    efficiency = found.efficiency
    allocated = efficiency.node_hours.allocated
    if allocated < LEAST_HOURS or efficiency.unknown > len(efficiency.attempts):
        return []
    lines = [line for line in found.advice.lines if _is_worth_a_word(line, efficiency)]
    wasted = efficiency.node_hours.wasted
    first = []
    if wasted >= MUCH_WASTED * allocated:
        first.append(
            f"{wasted:,.1f} of {allocated:,.1f} node hours were wasted by attempts that failed "
            f"({_causes(efficiency)})."
        )
    if lines:
        first.append(_HEADING)
    return [*([" ".join(first)] if first else []), *_template(lines)]


def efficiency_document(found: RunEfficiency) -> dict[str, object]:
    """Return what `status --efficiency --json` has under `efficiency`."""
    efficiency = found.efficiency
    return {
        "published": len(efficiency.published),
        "failed": efficiency.failed,
        "unknown": efficiency.unknown,
        "minutes": _spread_document(efficiency.minutes),
        "mem_gb": _spread_document(efficiency.memory),
        "mem_gb_source": peak_source(efficiency.published) or None,
        "cpus": _spread_document(efficiency.cpus),
        "node_hours": _hours_document(efficiency.node_hours),
        "core_hours": _hours_document(efficiency.core_hours),
        "mem_gb_hours": _hours_document(efficiency.memory_hours),
        "wasted_node_hours_by_cause": {
            str(cause): hours for cause, hours in efficiency.wasted_by_cause.items()
        },
        "advice": [asdict(line) for line in found.advice.lines],
        "template": "".join(f"{line.key}: {line.value}\n" for line in found.advice.lines),
        "notes": list(found.advice.notes),
    }


def _attempts(efficiency: Efficiency) -> str:
    tasks = counted(len(efficiency.published), "task")
    is_sampled = any(
        use.used_gb is not None and use.memory_source == SOURCE for use in efficiency.published
    )
    measured = f", by {SOURCE}" if is_sampled or efficiency.cpus else ""
    line = f"efficiency{measured}: {tasks} published an output"
    if efficiency.failed:
        line += f", {counted(efficiency.failed, 'attempt')} failed"
    if efficiency.unknown:
        line += f"; accounting has no end of {counted(efficiency.unknown, 'other attempt')} (yet)"
    return line


def _resources(efficiency: Efficiency) -> Iterator[tuple[str, ...]]:
    if spread := efficiency.memory:
        yield _row("peak memory", spread, lambda gb: format_memory(gb * _MIB_PER_GIB))
    if spread := efficiency.minutes:
        yield _row("time", spread, format_slurm_time)
    if spread := efficiency.cpus:
        yield _row("CPUs", spread, lambda cpus: f"{cpus:.2f}".removesuffix(".00"))


def _hours(efficiency: Efficiency) -> Iterator[tuple[str, ...]]:
    for name, hours in (
        ("nodes", efficiency.node_hours),
        ("cores", efficiency.core_hours),
        ("GiB of memory", efficiency.memory_hours),
    ):
        if hours and hours.allocated:
            yield name, *map(_amount, (hours.allocated, hours.used, hours.wasted))


def _advice(advice: Advice) -> list[Block]:
    blocks: list[Block] = []
    if advice.lines:
        blocks += [Line(""), Line(_HEADING)]
        blocks += [Line(line) for line in _template(advice.lines)]
    if advice.notes:
        blocks += [Line(""), *(Line(note, Tone.FAINT) for note in advice.notes)]
    return blocks


def _template(lines: Sequence[AdviceLine]) -> list[str]:
    """Return lines of YAML, each below its reason.

    Beside the setting, a reason would be wrapped on 80 columns, and its end would be no comment.
    """
    return [
        text
        for line in lines
        for text in (
            f"  # {line.reason}{'' if line.is_change else ': keep it'}",
            f"  {line.key}: {line.value}",
        )
    ]


def _is_worth_a_word(line: AdviceLine, efficiency: Efficiency) -> bool:
    """Tell whether a request was far too large, or was too small for some tasks."""
    if not line.is_change:
        return False
    too_small = {"mem_gb": Cause.OUT_OF_MEMORY, "time": Cause.TIMEOUT}
    if too_small.get(line.key.replace("mem_per_cpu", "mem_gb")) in efficiency.wasted_by_cause:
        return True
    spreads = {"time": efficiency.minutes, "cpus": efficiency.cpus}
    spread = spreads.get(line.key, efficiency.memory)
    if spread is None or not spread.least_requested or not spread.most_requested:
        return False
    is_too_little = spread.most > spread.most_requested
    return is_too_little or spread.most < MUCH_TOO_MUCH * spread.least_requested


def _causes(efficiency: Efficiency) -> str:
    return ", ".join(
        f"{_amount(hours)} {cause}" for cause, hours in efficiency.wasted_by_cause.items()
    )


def _row(name: str, spread: Spread, shown: Callable[[float], str]) -> tuple[str, ...]:
    least, most = spread.least_requested, spread.most_requested
    requested = "" if least is None or most is None else shown(least)
    if least is not None and most is not None and least != most:
        requested = f"{shown(least)}–{shown(most)}"
    return (
        name,
        requested or "-",
        "" if spread.allocated is None else shown(spread.allocated),
        *map(shown, (spread.median, spread.percentile_95, spread.most)),
        _percent(spread.most / most) if most else "",
    )


def _percent(share: float) -> str:
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _amount(hours: float) -> str:
    if 0 < hours < _LEAST_SHOWN:
        return f"<{_LEAST_SHOWN}"
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _spread_document(spread: Spread | None) -> dict[str, object] | None:
    return asdict(spread) if spread else None


def _hours_document(hours: Hours | None) -> dict[str, float] | None:
    if hours is None:
        return None
    return {"allocated": hours.allocated, "used": hours.used, "wasted": hours.wasted}
