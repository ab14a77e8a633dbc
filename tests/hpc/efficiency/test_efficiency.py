"""What was requested, used and wasted, and what the next run should request."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hpc.config import run_config
from hpc.display.efficiency.describe import (
    describe_efficiency,
    describe_worthwhile,
    efficiency_document,
)
from hpc.display.terminal.render import plain_text
from hpc.efficiency.advice import (
    MEMORY_MARGIN,
    TIME_MARGIN,
    Advice,
    advise,
    cpus_needed,
    memory_needed,
    minutes_needed,
)
from hpc.efficiency.attempt_use import AttemptUse
from hpc.efficiency.measure import Efficiency, Hours, measure
from hpc.efficiency.run_efficiency import RunEfficiency
from hpc.efficiency.sampled_memory import OWN_COUNT, SOURCE, peak_mb, sampled_peak_mb
from hpc.run.cluster.resources import Resources
from hpc.run.cluster.slurm_time import parse_slurm_time
from pipeline.errors import Cause

HOUR = 3600
USE = AttemptUse(
    shard=0, cause=None, elapsed_s=HOUR, time_min=240, cpus=4, alloc_cpus=4, cpu_s=0.9 * HOUR,
    mem_gb=4.0, alloc_mem_gb=4.0, used_gb=0.3,
)  # fmt: skip
RESOURCES = Resources(mem_gb=4, time_min=240, cpus=4)


def uses(**changed: Any) -> list[AttemptUse]:
    """Ten tasks that differ in their shard only."""
    return [replace(USE, shard=shard, **changed) for shard in range(10)]


def advice(efficiency: Efficiency, **more: Any) -> Advice:
    known: dict[str, Any] = {"resources": RESOURCES, "are_reserved": True}
    return advise(efficiency, **known | more)


def template(found: Advice) -> dict[str, str]:
    return {line.key: line.value for line in found.lines}


def amounts(limit: float) -> st.SearchStrategy[float | None]:
    return st.none() | st.floats(0.001, limit)


@st.composite
def attempts(draw: st.DrawFn) -> AttemptUse:
    cpus = draw(st.integers(1, 64))
    mem = draw(amounts(500))
    return AttemptUse(
        shard=draw(st.integers(0, 3)),
        cause=draw(st.none() | st.sampled_from(Cause)),
        elapsed_s=draw(st.integers(0, 10**6)),
        time_min=draw(st.integers(1, 20_000)),
        cpus=cpus,
        alloc_cpus=cpus * draw(st.sampled_from([1, 2, 8])),
        cpu_s=draw(amounts(10**7)),
        mem_gb=mem,
        alloc_mem_gb=mem,
        used_gb=draw(amounts(600)),
    )


@given(st.lists(attempts(), max_size=8))
def test_waste_is_never_negative_and_never_more_than_was_allocated(many: list[AttemptUse]) -> None:
    efficiency = measure(many)
    for hours in (efficiency.node_hours, efficiency.core_hours, efficiency.memory_hours):
        if hours:
            assert 0 <= hours.wasted <= hours.allocated * (1 + 1e-9)
            assert hours.wasted + hours.used == pytest.approx(hours.allocated)
    by_cause = math.fsum(efficiency.wasted_by_cause.values())
    assert by_cause == pytest.approx(efficiency.node_hours.wasted, abs=1e-6)


@given(st.lists(attempts(), max_size=8), st.sampled_from([None, 2.0]))
def test_advice_is_never_below_what_any_attempt_needed(
    many: list[AttemptUse], mem_per_cpu: float | None
) -> None:
    efficiency = measure(many)
    resources = Resources(cpus=4, mem_gb=None if mem_per_cpu else 4, mem_per_cpu=mem_per_cpu)
    lines = template(advice(efficiency, resources=resources))
    cpus = int(lines.get("cpus", resources.cpus))
    memory = float(lines.get("mem_gb", 0)) or cpus * float(lines.get("mem_per_cpu", 0))
    if memory:
        needed = memory_needed(efficiency) or 0
        assert memory >= needed * MEMORY_MARGIN * (1 - 1e-9)
        assert all(memory >= (use.used_gb or 0) for use in many)
        exceeded = [use.mem_gb for use in many if use.cause is Cause.OUT_OF_MEMORY and use.mem_gb]
        assert all(memory > gb for gb in exceeded)
    if "time" in lines:
        minutes = parse_slurm_time(lines["time"])
        assert minutes >= minutes_needed(efficiency) * TIME_MARGIN * (1 - 1e-9)
    if "cpus" in lines:
        assert cpus >= (cpus_needed(efficiency) or 0) - 0.11


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose template is the file `advised.yaml` beside it."""
    folder = tmp_path_factory.mktemp("configuration")
    values = {
        "name": "t",
        "backlog": {"source": "p.jsonl"},
        "classifier": {"type": "valence"},
        "cluster": {"executor": "slurm", "template": "advised.yaml"},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(values))
    return folder / "run.yaml"


@given(many=st.lists(attempts(), min_size=1, max_size=8))
def test_the_lines_are_a_template_that_a_configuration_takes(
    configuration: Path, many: list[AttemptUse]
) -> None:
    found = RunEfficiency(efficiency=measure(many), advice=advice(measure(many)))
    advised = configuration.with_name("advised.yaml")
    advised.write_text(str(efficiency_document(found)["template"]))
    requested = run_config.load(configuration).cluster.resources
    lines = template(found.advice)
    if "time" in lines:
        assert requested.time_min == parse_slurm_time(lines["time"])
    if "mem_gb" in lines:
        assert requested.mem_gb == pytest.approx(float(lines["mem_gb"]))
    if "cpus" in lines:
        assert requested.cpus == int(lines["cpus"])


def test_tasks_that_requested_too_much_are_advised_to_request_less() -> None:
    efficiency = measure(uses())
    assert template(advice(efficiency)) == {"mem_gb": "0.5", "time": "01:30:00", "cpus": "1"}
    assert efficiency.core_hours == Hours(allocated=40.0, used=pytest.approx(9.0))
    assert efficiency.memory_hours == Hours(allocated=40.0, used=pytest.approx(3.0))


def test_what_is_about_right_is_kept() -> None:
    found = advice(measure(uses(used_gb=3.0, elapsed_s=150 * 60, cpu_s=3.95 * 150 * 60)))
    assert template(found) == {"mem_gb": "4", "time": "04:00:00", "cpus": "4"}
    assert [line.is_change for line in found.lines] == [False] * 3
    short = advice(measure(uses(elapsed_s=5, time_min=5)))
    assert template(short)["time"] == "00:05:00"


def test_what_a_remedy_had_to_raise_is_requested_from_the_beginning() -> None:
    exceeded = replace(USE, cause=Cause.OUT_OF_MEMORY, used_gb=3.9)
    late = replace(USE, shard=1, cause=Cause.TIMEOUT, elapsed_s=240 * 60)
    efficiency = measure([exceeded, late, *uses()])
    assert template(advice(efficiency)) == {"mem_gb": "5", "time": "07:30:00", "cpus": "1"}
    assert efficiency.wasted_by_cause == {Cause.TIMEOUT: 4.0, Cause.OUT_OF_MEMORY: 1.0}
    tight = advice(efficiency, longest_min=240)
    assert "time" not in template(tight)
    assert any("sharding.rows_per_shard" in note for note in tight.notes)


@pytest.mark.parametrize(
    ("many", "lines", "notes"),
    [
        ([], [], 1),
        (uses(cause=Cause.CRASHED), [], 1),
        (uses(used_gb=None, cpu_s=None), ["time"], 2),
        (uses(used_gb=None), ["time", "cpus"], 1),
        (uses()[:2], ["mem_gb", "time", "cpus"], 1),
        (uses(alloc_cpus=8), ["mem_gb", "time", "cpus"], 1),
        ([replace(USE, shard=99, cause=Cause.OUT_OF_MEMORY), *uses()],
         ["mem_gb", "time", "cpus"], 1),
        (uses(), ["mem_gb", "time", "cpus"], 0),
    ],
)  # fmt: skip
def test_what_is_not_known_is_not_advised_and_said(
    many: list[AttemptUse], lines: list[str], notes: int
) -> None:
    found = advice(measure(many))
    assert ([line.key for line in found.lines], len(found.notes)) == (lines, notes)


def test_a_local_run_has_no_requests_to_correct() -> None:
    found = advice(measure(uses()), are_reserved=False)
    assert (found.lines, len(found.notes)) == ((), 1)


def test_the_reasons_have_the_figures_of_the_table() -> None:
    efficiency = measure(uses(elapsed_s=162, cpu_s=7.0))
    reasons = {line.key: line.reason for line in advice(efficiency).lines}
    assert reasons["time"] == "a task ran for at most 0:02:42, requested 4:00:00"
    assert reasons["mem_gb"] == "a task used at most 307 MiB, requested 4 GiB"


def test_reasons_from_attempts_that_published_nothing_say_so() -> None:
    late = replace(USE, cause=Cause.TIMEOUT, elapsed_s=162, used_gb=3.0)
    reasons = {line.key: line.reason for line in advice(measure([late, *uses()])).lines}
    assert reasons["time"] == "the attempts at a shard ran for at most 1:02:42, requested 4:00:00"
    assert reasons["mem_gb"] == "an attempt that failed used at most 3 GiB, requested 4 GiB"


def test_nothing_is_said_of_memory_that_was_sampled_too_rarely() -> None:
    short = uses(elapsed_s=2, used_gb=None, is_short=True)
    (note,) = advice(measure(short)).notes
    assert "less than 60 s" in note
    assert sampled_peak_mb(54.0, 59.0) is None
    assert sampled_peak_mb(0.0, 600.0) is None
    assert sampled_peak_mb(54.0, 60.0) == 54.0
    assert sampled_peak_mb(54.0, None) == 54.0


def test_the_larger_of_two_peaks_counts_and_the_advice_says_who_saw_it() -> None:
    assert peak_mb(46.0, 600.0, 97.0) == (97.0, OWN_COUNT)
    assert peak_mb(98.0, 600.0, 97.0) == (98.0, SOURCE)
    assert peak_mb(46.0, 2.0, 93.0) == (93.0, OWN_COUNT)
    assert peak_mb(None, 600.0, None) == (None, SOURCE)
    highest = replace(USE, used_gb=0.6, memory_source=OWN_COUNT)
    efficiency = measure([*uses(), highest])
    (line,) = (line for line in advice(efficiency).lines if line.key == "mem_gb")
    assert (line.value, OWN_COUNT in line.reason) == ("0.75", True)
    found = RunEfficiency(efficiency=efficiency, advice=advice(efficiency))
    assert efficiency_document(found)["mem_gb_source"] == OWN_COUNT
    assert OWN_COUNT in plain_text(describe_efficiency(found))


def test_supervise_says_only_what_is_worth_changing() -> None:
    def said(many: list[AttemptUse], unknown: int = 0) -> list[str]:
        efficiency = measure(many, unknown)
        return describe_worthwhile(RunEfficiency(efficiency=efficiency, advice=advice(efficiency)))

    failed = [replace(USE, cause=Cause.NODE), *uses()]
    assert said([*failed, replace(USE, cause=Cause.NODE)]) == [
        "2.0 of 12.0 node hours were wasted by attempts that failed (2 node). For the next run "
        "with as many posts per shard, in the section cluster or its template:",
        "  # a task used at most 307 MiB, requested 4 GiB",
        "  mem_gb: 0.5",
        "  # a task ran for at most 1:00:00, requested 4:00:00",
        "  time: 01:30:00",
        "  # a task kept at most 0.90 busy on average, requested 4",
        "  cpus: 1",
    ]
    assert said(failed)[0].startswith("For the next run")
    assert said(uses(used_gb=3.0, elapsed_s=150 * 60, cpu_s=3.95 * 150 * 60)) == []
    assert said(uses(elapsed_s=60, cpu_s=60)) == []  # a test run
    assert said(uses(), unknown=11) == []
    assert len(said([*uses(), *uses(cause=Cause.OUT_OF_MEMORY, mem_gb=8.0)])) == 7


def test_status_shows_what_a_task_used_and_what_was_wasted() -> None:
    efficiency = measure([replace(USE, cause=Cause.NODE), *uses(alloc_cpus=8)], 1)
    shown = plain_text(
        describe_efficiency(RunEfficiency(efficiency=efficiency, advice=advice(efficiency)))
    )
    assert shown.splitlines() == [
        "",
        "efficiency, by Slurm's accounting: 10 tasks published an output, 1 attempt failed; "
        "accounting has no end of 1 other attempt (yet)",
        "",
        "  OF A TASK    REQUESTED  ALLOCATED   MEDIAN     95 %     MOST  USED",
        "  peak memory      4 GiB      4 GiB  307 MiB  307 MiB  307 MiB   8 %",
        "  time           4:00:00    4:00:00  1:00:00  1:00:00  1:00:00  25 %",
        "  CPUs                 4          8     0.90     0.90     0.90  22 %",
        "",
        "  HOURS          ALLOCATED  USED  WASTED",
        "  nodes                 11    10       1",
        "  cores                 84     9      75",
        "  GiB of memory         44     3      41",
        "  node hours in attempts that failed: 1 node",
        "",
        "For the next run with as many posts per shard, in the section cluster or its template:",
        "  # a task used at most 307 MiB, requested 4 GiB",
        "  mem_gb: 0.5",
        "  # a task ran for at most 1:00:00, requested 4:00:00",
        "  time: 01:30:00",
        "  # a task kept at most 0.90 busy on average, requested 4",
        "  cpus: 1",
        "",
        "Slurm gave tasks up to 8 CPUs where 4 were requested: it allocates whole cores or whole "
        "nodes, or CPUs for their memory.",
    ]
