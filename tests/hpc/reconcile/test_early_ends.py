"""Tasks that ended before their first line: the node's fault, or the environment's."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from hpc.executors.slurm.answers.states import MEANING, SlurmState
from hpc.reconcile.early_ends import MOST_LOGS, PATIENCE, mark_early_ends
from hpc.reconcile.log_end import read_log_end
from hpc.run.causes import cause_of
from hpc.run.model.attempts import Attempt, Phase, TaskRecord
from hpc.run.model.shards import ShardFacts
from hpc.traces.task_log import TaskLog
from pipeline.errors import Cause
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.output import OutputCheck
from pipeline.terminal import without_middle

START = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
LATER = START + timedelta(hours=5)
GRACE = timedelta(minutes=2)


def attempt(
    state: str = "FAILED", node: str = "n1", *, number: int = 1, began: bool = False,
    second: int = 0, **more: Any,
) -> Attempt:  # fmt: skip
    """An attempt that started `second` seconds after its array, and ended a second later."""
    phase, cause = MEANING[SlurmState(state)]
    started = START + timedelta(minutes=number, seconds=second)
    record = TaskRecord(
        phase=phase, slurm_state=state, cause=cause, exit_code="127:0", node=node,
        started_at=None if phase is Phase.WAITING else started,
        ended_at=started + timedelta(seconds=1) if phase is Phase.ENDED else None,
    )  # fmt: skip
    return Attempt(number=number, array_job_id=4000 + number, array_task_index=0,
                   submitted_at=START, record=record, began=began, **more)  # fmt: skip


def shards_of(*attempts: tuple[Attempt, ...]) -> list[ShardFacts]:
    return [
        ShardFacts(index=index, posts=10, output=OutputCheck(), attempts=tuple(
            structs.replace(one, array_task_index=index) for one in given_attempts
        ))
        for index, given_attempts in enumerate(attempts)
    ]  # fmt: skip


def causes(*attempts: tuple[Attempt, ...], now: datetime = LATER) -> list[Cause | None]:
    """The causes of the last attempts that have ended, None of the others."""
    marked = mark_early_ends(
        shards_of(*attempts), now=now, grace=GRACE, read_log_end=lambda shard, attempt: ""
    )
    lasts = [shard.attempts[-1] for shard in marked]
    return [cause_of(last) if last.phase is Phase.ENDED else None for last in lasts]


def last_changes(*attempts: tuple[Attempt, ...], now: datetime) -> list[datetime]:
    marked = mark_early_ends(
        shards_of(*attempts), now=now, grace=GRACE, read_log_end=lambda shard, attempt: ""
    )
    return [shard.attempts[-1].last_change for shard in marked]


def test_a_node_is_to_blame_where_other_tasks_of_the_array_got_further() -> None:
    at_work = attempt("RUNNING", "n2", began=True)
    bad = attempt("FAILED", "n4", second=20)
    assert causes((at_work,), (bad,), (bad,)) == [None, Cause.NODE, Cause.NODE]
    spoke = LastWords(
        cause=Cause.CRASHED, message="x", traceback="", node="n4", written_at="", stops_run=False
    )
    own = attempt("FAILED", "n4", began=True, words=spoke)
    assert causes((at_work,), (own,)) == [None, Cause.CRASHED]
    assert causes((at_work,), (attempt("FAILED", "n4", began=True),)) == [None, Cause.CRASHED]


def test_the_environment_is_to_blame_where_every_task_of_an_array_ended_so() -> None:
    everywhere = [(attempt(node=f"n{index % 3}"),) for index in range(9)]
    assert causes(*everywhere) == [Cause.ENVIRONMENT] * 9


def test_one_node_is_no_proof_and_the_array_after_it_decides() -> None:
    on_n1 = attempt(node="n1")
    assert causes((on_n1,)) == [Cause.NODE]
    assert causes((on_n1,), (on_n1,)) == [Cause.NODE] * 2
    elsewhere = attempt(node="n2", number=2)
    assert causes((on_n1, elsewhere)) == [Cause.ENVIRONMENT]
    # A partition of one node has no other.
    assert causes((on_n1, attempt(node="n1", number=2))) == [Cause.ENVIRONMENT]
    # After a person has changed something, it takes two again.
    assert causes((on_n1, structs.replace(elsewhere, forced=True))) == [Cause.NODE]


@pytest.mark.parametrize("exit_code", ["0:9", "0:15", "137:0", "143:0"])
def test_a_task_that_was_killed_says_nothing_about_the_environment(exit_code: str) -> None:
    """A node lost power while it started the retry of a task that a bad node had ended."""

    def killed(node: str, number: int = 1) -> Attempt:
        made = attempt(node=node, number=number)
        assert made.record
        return structs.replace(made, record=structs.replace(made.record, exit_code=exit_code))

    assert causes((attempt(node="n3"), killed("n1", 2))) == [Cause.NODE]
    assert causes((killed("n1"), attempt(node="n3", number=2))) == [Cause.NODE]
    assert causes((killed("n1"),), (killed("n2"),)) == [Cause.NODE] * 2
    assert causes((killed("n1"),), (attempt(node="n2"),)) == [Cause.NODE] * 2
    # The others are proof enough.
    others = (attempt(node="n2"),), (attempt(node="n3"),)
    assert causes((killed("n1"),), *others) == [Cause.ENVIRONMENT] * 3


def test_two_bad_nodes_do_not_stop_a_run_whose_other_tasks_get_further() -> None:
    done = attempt("COMPLETED", "n1", began=True)
    first, second = attempt(node="n3"), attempt(node="n4", number=2)
    assert causes((done,), (first, second)) == [Cause.NO_OUTPUT, Cause.NODE]
    third = attempt(node="n2", number=3)
    assert causes((done,), (first, second, third)) == [Cause.NO_OUTPUT, Cause.ENVIRONMENT]
    at_work = attempt("RUNNING", "n1", began=True)
    assert causes((at_work,), (first, second, third)) == [None, Cause.NODE]
    since = attempt("TIMEOUT", "n1", number=4, began=True)
    assert causes((since,), (first, second, third)) == [Cause.TIMEOUT, Cause.NODE]


def test_what_a_person_repaired_stays_what_it_was() -> None:
    again = attempt("COMPLETED", number=2, began=True, forced=True)
    both = shards_of(*[(attempt(node=f"n{index}"), again) for index in range(2)])
    marked = mark_early_ends(both, now=LATER, grace=GRACE, read_log_end=lambda shard, attempt: "")
    assert {cause_of(shard.attempts[0]) for shard in marked} == {Cause.ENVIRONMENT}


def test_an_environment_that_breaks_later_costs_one_array_too() -> None:
    done = [(attempt("COMPLETED", "n1", began=True),)] * 3
    broken = [(attempt(node=f"n{i}", second=90), attempt(node=f"n{i}", number=4)) for i in range(3)]
    assert causes(*done, *broken)[3:] == [Cause.ENVIRONMENT] * 3


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("PREEMPTED", Cause.PREEMPTED),
        ("CANCELLED", Cause.CANCELLED),
        ("TIMEOUT", Cause.TIMEOUT),
        ("OUT_OF_MEMORY", Cause.OUT_OF_MEMORY),
        ("NODE_FAIL", Cause.NODE),
        ("LAUNCH_FAILED", Cause.NODE),
    ],
)
def test_what_slurm_itself_explains_keeps_its_cause(state: str, cause: Cause) -> None:
    early = attempt(node="n2")
    assert causes((attempt(state),), (early,)) == [cause, Cause.NODE]
    assert causes((attempt(state), attempt(state, "n2", number=2))) == [cause]


def test_a_task_that_completed_before_its_first_line_ended_early_once_no_file_can_be_late() -> None:
    completed = [(attempt("COMPLETED", f"n{index}"),) for index in range(3)]
    ended_at = START + timedelta(minutes=1, seconds=1)
    almost = ended_at + GRACE - timedelta(seconds=1)
    assert causes(*completed, now=almost) == [Cause.NO_OUTPUT] * 3
    assert causes(*completed, now=ended_at + GRACE) == [Cause.ENVIRONMENT] * 3
    began = attempt("COMPLETED", "n9", began=True)
    assert causes((began,), completed[0]) == [Cause.NO_OUTPUT, Cause.NODE]


def test_nothing_is_decided_while_files_may_be_late() -> None:
    early = [(attempt(node=f"n{index}", second=60 * index),) for index in range(3)]
    newest = START + timedelta(minutes=3, seconds=1)
    almost = newest + GRACE - timedelta(seconds=1)
    assert causes(*early, now=almost) == [Cause.NODE] * 3
    assert causes(*early, now=newest + GRACE) == [Cause.ENVIRONMENT] * 3
    # Until then all of them wait: each would be submitted again, one after the other.
    assert last_changes(*early, now=almost) == [newest] * 3


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_tasks_wait_a_moment_for_others_of_their_array_and_for_no_longer(state: str) -> None:
    early = [(attempt(node=f"n{index}"),) for index in range(2)]
    other = (attempt(state, "n3"),)
    newest = START + timedelta(minutes=1, seconds=1)
    soon = newest + timedelta(seconds=90)
    assert causes(*early, other, now=soon) == [Cause.NODE, Cause.NODE, None]
    assert last_changes(*early, now=soon) == [newest] * 2
    assert last_changes(*early, other, now=soon)[0] == soon
    assert last_changes(*early, other, now=LATER)[0] == newest + PATIENCE
    got_further = (attempt("RUNNING", "n3", began=True),)
    assert last_changes(*early, got_further, now=soon)[0] == newest


def test_the_message_names_one_task_and_ends_with_its_log() -> None:
    def messages(*attempts: tuple[Attempt, ...]) -> list[str]:
        marked = mark_early_ends(
            shards_of(*attempts),
            now=LATER,
            grace=GRACE,
            read_log_end=lambda shard, attempt: f"line of {shard}" if shard != 1 else "",
        )
        ends = [shard.attempts[-1].early_end for shard in marked]
        return [end.message for end in ends if end]

    environment = (
        "every task ended before its first line, such as task 4001_0 (FAILED, exit code 127:0, "
        "on n1); its log ends with: line of 0"
    )
    assert messages((attempt(),), (attempt(node="n2"),)) == [environment] * 2
    assert messages((attempt(node="n4"),), (attempt(node="n4"),)) == [
        "task 4001_0 (FAILED, exit code 127:0, on n4) ended before its first line; its log ends "
        "with: line of 0",
        "task 4001_1 (FAILED, exit code 127:0, on n4) ended before its first line; its log is "
        "empty",
    ]
    assert sum("log" in text for text in messages(*[(attempt(),)] * 50)) == MOST_LOGS


@pytest.mark.parametrize(
    ("log", "end"),
    [
        ("", ""),
        ("ModuleNotFoundError: No module named 'submitit'\n\n", "ModuleNotFoundError: No module "
         "named 'submitit'"),
        ("slurmstepd: error: execve(): /x/python: No such file\n"
         "srun: error: n1: task 0: Exited with exit code 2\n",
         "slurmstepd: error: execve(): /x/python: No such file"),
        ("no mount\nslurmstepd: error: *** STEP 4.0 ON n1 CANCELLED ***\nsrun: forcing\n",
         "no mount"),
        ("srun: error: Unable to create step\n", "srun: error: Unable to create step"),
        ("\x1b]0;owned\x07\x1b[31mred\x1b[0m\r\x1b[2Jlast \u202estate\n", "last state"),
        (f"{'x' * 9000}\n", without_middle("x" * 9000)),
    ],
)  # fmt: skip
def test_the_end_of_a_log_is_its_last_line_that_says_why(
    tmp_path: Path, log: str, end: str
) -> None:
    path = tmp_path / "log.out"
    path.write_text(log)
    assert read_log_end(TaskLog(path)) == end
    assert read_log_end(TaskLog(tmp_path / "nowhere")) == read_log_end(None) == ""


attempts = st.builds(
    attempt,
    st.sampled_from(["FAILED", "COMPLETED", "RUNNING", "PENDING", "PREEMPTED", "NODE_FAIL"]),
    st.sampled_from(["n1", "n2", "n3"]),
    began=st.booleans(),
    second=st.integers(0, 200),
    forced=st.booleans(),
)
histories = st.lists(attempts, max_size=4).map(
    lambda found: tuple(structs.replace(one, number=n) for n, one in enumerate(found, 1))
)


@given(st.lists(histories, max_size=6))
def test_only_attempts_that_ended_and_never_began_are_marked_and_one_array_has_one_cause(
    found: list[tuple[Attempt, ...]],
) -> None:
    before = shards_of(*found)
    marked = mark_early_ends(before, now=LATER, grace=GRACE, read_log_end=lambda shard, attempt: "")
    by_array: dict[int, set[Cause | None]] = {}
    for shard, old in zip(marked, before, strict=True):
        assert structs.replace(shard, attempts=old.attempts) == old
        for one, plain in zip(shard.attempts, old.attempts, strict=True):
            assert structs.replace(one, early_end=None) == plain
            assert plain.record
            has_ended = plain.record.slurm_state in ("FAILED", "COMPLETED")
            is_early = has_ended and not plain.began
            assert (one.early_end is not None) == is_early
            by_array.setdefault(one.number, set()).add(one.early_end and one.early_end.cause)
    for causes_of_array in by_array.values():
        assert causes_of_array <= {None, Cause.NODE} or causes_of_array == {Cause.ENVIRONMENT}
