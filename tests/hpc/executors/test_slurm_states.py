"""The table of Slurm's states: total, and read right however Slurm cuts or decorates the word."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.executors.slurm.answers.states import MEANING, SlurmState, meaning
from hpc.run.causes import REMEDY
from hpc.run.model.attempts import Phase
from pipeline.errors import Cause

ENDED = {
    "BOOT_FAIL": Cause.NODE,
    "CANCELLED": Cause.CANCELLED,
    "COMPLETED": Cause.NO_OUTPUT,
    "DEADLINE": Cause.TIMEOUT,
    "FAILED": Cause.CRASHED,
    "LAUNCH_FAILED": Cause.NODE,
    "NODE_FAIL": Cause.NODE,
    "OUT_OF_MEMORY": Cause.OUT_OF_MEMORY,
    "PREEMPTED": Cause.PREEMPTED,
    "RECONFIG_FAIL": Cause.NODE,
    "REVOKED": Cause.LOST,
    "TIMEOUT": Cause.TIMEOUT,
}
ALIVE = {
    Phase.HELD: {"REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"},
    Phase.ACTIVE: {"COMPLETING", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT", "STOPPED",
                   "SUSPENDED", "UPDATE_DB"},
    Phase.WAITING: {"CONFIGURING", "EXPEDITING", "PENDING", "POWER_UP_NODE", "REQUEUED",
                    "REQUEUE_FED"},
}  # fmt: skip


def test_the_table_covers_every_slurm_state() -> None:
    assert set(MEANING) == set(SlurmState)


def test_every_state_means_what_the_documentation_says() -> None:
    """Walks the table: a state of Slurm's that is added needs its line here too."""
    expected: dict[str, tuple[Phase, Cause | None]]
    expected = {name: (Phase.ENDED, cause) for name, cause in ENDED.items()}
    for phase, names in ALIVE.items():
        expected.update(dict.fromkeys(names, (phase, None)))
    assert {state.value: meaning(state.value) for state in SlurmState} == expected


def test_a_state_has_a_cause_exactly_when_it_is_an_end() -> None:
    assert {
        s for s, (phase, cause) in MEANING.items() if (phase is Phase.ENDED) != bool(cause)
    } == set()


def test_every_slurm_state_has_a_known_phase() -> None:
    """UNKNOWN is for the absence of any record."""
    assert Phase.UNKNOWN not in {phase for phase, _ in MEANING.values()}


def test_every_cause_has_a_remedy() -> None:
    assert set(REMEDY) == set(Cause)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("CANCELLED by 1001", (Phase.ENDED, Cause.CANCELLED)),
        ("CANCELLED by 0", (Phase.ENDED, Cause.CANCELLED)),
        ("CANCELLED+", (Phase.ENDED, Cause.CANCELLED)),
        ("OUT_OF_ME+", (Phase.ENDED, Cause.OUT_OF_MEMORY)),
        ("COMPLETED", (Phase.ENDED, Cause.NO_OUTPUT)),
        ("COMPLETI+", (Phase.ACTIVE, None)),
        ("NODE_FAIL*", (Phase.ENDED, Cause.NODE)),
        ("SPECIAL_E+", (Phase.HELD, None)),
    ],
)
def test_decorated_and_truncated_states_are_read(
    shown: str, expected: tuple[Phase, Cause | None]
) -> None:
    assert meaning(shown) == expected


@pytest.mark.parametrize(
    "shown", ["", " ", "+", "C", "RE+", "REQUEUE+", "NEW_STATE_OF_2027", "failed"]
)
def test_an_unknown_or_ambiguous_state_counts_as_alive(shown: str) -> None:
    """Nothing may be submitted again on a guess."""
    assert meaning(shown) == (Phase.ACTIVE, None)


@given(st.text(string.ascii_uppercase + "_ +*", max_size=15), st.text(max_size=10))
def test_only_a_prefix_of_an_end_state_counts_as_an_end(word: str, reason: str) -> None:
    phase, _ = meaning(word, reason)
    bare = word.split(" ", 1)[0].rstrip("+*")
    if phase is Phase.ENDED:
        assert any(state.startswith(bare) for state in ENDED)


@pytest.mark.parametrize(
    "reason",
    [
        "JobHeldUser",
        "JobHeldAdmin",
        "(JobHeldUser)",
        "JobHoldMaxRequeue",
        "launch failed requeued held",
        "launch_failed_requeued_held",
        "user env retrieval failed requeued held",
        "BadConstraints",
        "job requeued in held state",
    ],
)
def test_a_pending_task_with_a_held_reason_is_held(reason: str) -> None:
    """The last is what `scontrol requeuehold` leaves (recorded): squeue calls it PENDING."""
    assert meaning("PENDING", reason) == (Phase.HELD, None)


@pytest.mark.parametrize(
    "reason",
    ["", "None", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit", "Dependency",
     "QOSMaxSubmitJobPerUserLimit", "ReqNodeNotAvail, UnavailableNodes:n1"],
)  # fmt: skip
def test_a_pending_task_with_any_other_reason_waits(reason: str) -> None:
    assert meaning("PENDING", reason) == (Phase.WAITING, None)


@pytest.mark.parametrize("state", [state for state in SlurmState if state != "PENDING"])
def test_a_held_reason_changes_only_pending_tasks(state: SlurmState) -> None:
    """A reason may be left over from before the job ran."""
    assert meaning(state, "JobHeldUser") == MEANING[state]
