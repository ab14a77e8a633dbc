"""The nine rules, by example and as properties of whatever may be observed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hpc.executors.slurm.answers.states import MEANING, SlurmState
from hpc.run.causes import REMEDY, Remedy, describe_exit, why_ended
from hpc.run.judge import counted_attempts, judge, judge_all, rest_of_grace
from hpc.run.model.attempts import Attempt, Phase, TaskRecord, UnreadableFile
from hpc.run.model.shards import Judgement, Observation, ShardFacts, State
from hpc.run.retry_policy import RetryPolicy
from hpc.run.selection import resubmittable
from pipeline.errors import Cause
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.output import OutputCheck

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
GRACE = timedelta(minutes=2)
LONG_AGO = NOW - timedelta(hours=5)
STATES = "done planned blocked running queued unknown ending blocked failed"
STATE_OF_RULE = dict(enumerate(map(State, STATES.split()), start=1))
NO_OUTPUT = OutputCheck()
ANY_STATE = [*MEANING.items()]


def record(state: str, **more: Any) -> TaskRecord:
    phase, cause = MEANING[SlurmState(state)]
    ended_at = LONG_AGO if phase is Phase.ENDED else None
    return TaskRecord(**{"phase": phase, "slurm_state": state, "cause": cause,
                         "ended_at": ended_at, **more})  # fmt: skip


def words(cause: Cause, message: str = "in its own words") -> LastWords:
    return LastWords(cause=cause, message=message, traceback="", node="n1",
                     written_at="2026-11-24T07:00:00+00:00")  # fmt: skip


def attempt(number: int = 1, state: str | None = None, **more: Any) -> Attempt:
    known: dict[str, Any] = {"array_job_id": 4000 + number, "submitted_at": LONG_AGO}
    known["record"] = record(state) if state else None
    return Attempt(number=number, array_task_index=7, **known | more)


def judged(
    *attempts: Attempt, answered: bool = True, output: OutputCheck = NO_OUTPUT,
    max_attempts: int = 4, grace: timedelta = GRACE, **more: Any,
) -> Judgement:  # fmt: skip
    shard = ShardFacts(index=7, posts=10, output=output, attempts=attempts)
    seen = {
        "observed_at": NOW,
        "last_answer": None,
        "trouble": None if answered else "no route to host",
    }
    observation = Observation(shards=(shard,), answered=answered, **seen | more)
    return judge(shard, observation, grace=grace, policy=RetryPolicy(max_attempts=max_attempts))


def judgement(rule: int, message: str, cause: Cause | None = None) -> Judgement:
    return Judgement(index=7, state=STATE_OF_RULE[rule], rule=rule, cause=cause, message=message)


def test_rule_1_a_verified_output_is_done_whatever_slurm_says() -> None:
    failed = attempt(1, "FAILED", words=words(Cause.REFUSED))
    held = attempt(2, "REQUEUE_HOLD")
    assert judged(failed, held, output=OutputCheck(publication="p")) == judgement(1, "")


def test_rule_2_without_a_submission_it_is_planned() -> None:
    assert judged(answered=False) == judgement(2, "not submitted yet")


def test_rule_3_a_held_attempt_blocks_even_beside_a_running_one() -> None:
    held = attempt(1, record=record("PENDING", phase=Phase.HELD, reason="JobHeldUser"))
    message = "Slurm holds task 4001_7 (JobHeldUser): release it, or cancel it"
    assert judged(held, attempt(2, "RUNNING")) == judgement(3, message)
    never = record("PENDING", phase=Phase.HELD, reason="InvalidQOS", advice="set cluster.qos")
    message = "Slurm holds task 4001_7 (InvalidQOS): set cluster.qos"
    assert judged(attempt(record=never)) == judgement(3, message)


def test_rule_4_a_shard_is_running_if_any_of_its_attempts_runs() -> None:
    """Slurm may put an old array's task back on a node after we have submitted it again."""
    again = judged(attempt(1, "RUNNING"), attempt(2, "FAILED"))
    assert again == judgement(4, "task 4001_7 is RUNNING")
    assert judged(attempt(1, "PENDING"), attempt(2, "COMPLETING")).rule == 4


def test_rule_5_a_shard_is_queued_if_any_of_its_attempts_waits() -> None:
    waits = attempt(1, record=record("PENDING", reason="Priority"))
    assert judged(waits, attempt(2, "TIMEOUT")) == judgement(5, "task 4001_7 is PENDING (Priority)")
    assert judged(attempt(1, "REQUEUED")) == judgement(5, "task 4001_7 is REQUEUED")
    later = attempt(2, record=record("PENDING", reason="BeginTime"), starts_at=NOW + GRACE)
    until = f"{NOW + GRACE:%Y-%m-%d %H:%M:%S} UTC"
    message = f"task 4002_7 is PENDING (BeginTime) until {until}"
    assert judged(attempt(1, "FAILED"), later) == judgement(5, message)
    due = replace(later, starts_at=NOW)
    assert judged(due) == judgement(5, "task 4002_7 is PENDING (BeginTime)")


def test_rule_6_unknown_while_slurm_does_not_answer() -> None:
    since = datetime(2026, 11, 24, 11, 30, 5, tzinfo=UTC)
    message = (
        "Slurm does not answer (last answer 30 min ago, 2026-11-24 11:30:05 UTC): no route to host"
    )
    assert judged(attempt(), answered=False, last_answer=since) == judgement(6, message)
    yesterday = judged(attempt(), answered=False, last_answer=since - timedelta(hours=20))
    assert "(last answer 20 h ago, 2026-11-23 15:30:05 UTC)" in yesterday.message
    message = "Slurm does not answer (no answer so far): no route to host"
    assert judged(attempt(1, "FAILED"), attempt(2), answered=False) == judgement(6, message)


def test_rule_6_a_sign_of_life_outranks_an_empty_answer() -> None:
    """A colleague sees no job of ours where PrivateData hides it: nothing is resubmitted."""

    def with_heartbeat(age: timedelta, grace: timedelta = GRACE) -> Judgement:
        heartbeat = msgspec.structs.replace(beat(0), written_at=NOW - age)
        shard = ShardFacts(
            index=7, posts=10, output=NO_OUTPUT, attempts=(attempt(),), heartbeat=heartbeat
        )
        seen = Observation(observed_at=NOW, shards=(shard,), answered=True, last_answer=NOW)
        return judge(shard, seen, grace=grace, policy=RetryPolicy())

    message = "Slurm has no record of task 4001_7, but its heartbeat is 30 s old"
    assert with_heartbeat(timedelta(seconds=30)) == judgement(6, message)
    assert with_heartbeat(GRACE + timedelta(seconds=60)).state is State.UNKNOWN
    lost = judgement(9, "Slurm has no record of task 4001_7", Cause.LOST)
    assert with_heartbeat(GRACE + timedelta(seconds=61)) == lost
    assert with_heartbeat(timedelta(seconds=-30)).state is State.UNKNOWN, "a clock ahead of ours"
    # Nothing lags on one machine: the executor knows that its task is gone.
    assert with_heartbeat(timedelta(seconds=1), grace=timedelta(0)) == lost


def test_rule_6_what_hides_a_working_task_hides_the_pending_ones_too() -> None:
    def states_beside(works: ShardFacts) -> list[State]:
        pending = ShardFacts(index=1, posts=10, output=NO_OUTPUT, attempts=(attempt(),))
        failed = ShardFacts(index=2, posts=10, output=NO_OUTPUT, attempts=(attempt(1, "FAILED"),))
        shards = (works, pending, failed)
        seen = Observation(observed_at=NOW, shards=shards, answered=True, last_answer=NOW)
        judgements = judge_all(seen, grace=GRACE, policy=RetryPolicy())
        return [judgement.state for judgement in judgements[1:]]

    heartbeat = msgspec.structs.replace(beat(0), written_at=NOW)
    works = ShardFacts(
        index=0, posts=10, output=NO_OUTPUT, attempts=(attempt(),), heartbeat=heartbeat
    )
    assert states_beside(works) == [State.UNKNOWN, State.FAILED]
    on_record = replace(works, attempts=(attempt(1, "RUNNING"),))
    assert states_beside(on_record) == [State.FAILED, State.FAILED]


def test_rule_6_no_record_proves_nothing_where_the_cluster_hides_the_jobs_of_others() -> None:
    hidden = judged(attempt(hidden="ana submitted it"))
    assert (hidden.rule, hidden.state) == (6, State.UNKNOWN)
    assert "ana submitted it" in hidden.message
    ended = judged(attempt(hidden="ana submitted it", words=words(Cause.CRASHED)))
    assert ended.state is State.FAILED


def test_rule_7_within_the_grace_nothing_is_concluded() -> None:
    new = attempt(submitted_at=NOW - timedelta(seconds=119))
    message = "Slurm has no record of task 4001_7; waiting up to 1 s for a record of it"
    assert judged(new) == judgement(7, message)
    ended = attempt(record=record("COMPLETED", ended_at=NOW - timedelta(seconds=119)))
    message = "task 4001_7 ended as COMPLETED; waiting up to 1 s for late files"
    assert judged(ended) == judgement(7, message)
    # It has most likely published: nobody is called before that can be known.
    assert judged(ended, max_attempts=1) == judgement(7, message)


def test_rule_7_holds_for_last_words_too_unless_no_grace_is_given() -> None:
    """It is also the pause between a crash and the next try. The local executor's grace is 0."""
    crash = attempt(record=record("FAILED", ended_at=NOW), words=words(Cause.CRASHED))
    message = "in its own words; waiting up to 2 min for late files"
    assert judged(crash) == judgement(7, message, Cause.CRASHED)
    killed = attempt(record=record("OUT_OF_MEMORY", ended_at=NOW, node="n2"))
    message = (
        "task 4001_7 ran out of memory: it ended as OUT_OF_MEMORY (on n2); "
        "waiting up to 2 min for late files"
    )
    assert judged(killed) == judgement(7, message, Cause.OUT_OF_MEMORY)
    at_once = judged(crash, grace=timedelta(0))
    assert at_once == judgement(9, "in its own words", Cause.CRASHED)


@pytest.mark.parametrize(
    ("ahead", "state"),
    [(timedelta(minutes=4), State.ENDING), (timedelta(days=1), State.FAILED)],
)
def test_rule_7_does_not_wait_for_an_end_in_the_future(ahead: timedelta, state: State) -> None:
    """A clock that is a little ahead dated it, or one that was set back since."""
    ended = attempt(1, record=record("NODE_FAIL", ended_at=NOW + ahead))
    assert judged(ended).state is state


def test_rule_7_ends_with_the_grace() -> None:
    ended = attempt(record=record("COMPLETED", ended_at=NOW - GRACE))
    message = "task 4001_7 ended as COMPLETED"
    assert judged(ended) == judgement(9, message, Cause.NO_OUTPUT)


@pytest.mark.parametrize("cause", [cause for cause in Cause if REMEDY[cause] is Remedy.ASK])
def test_rule_8_what_needs_a_person_is_blocked(cause: Cause) -> None:
    done = judged(attempt(1, "FAILED", words=words(cause)))
    assert done == judgement(8, "in its own words", cause)


def test_rule_8_attempts_are_used_up() -> None:
    failed = [attempt(number, "TIMEOUT") for number in (1, 2, 3)]
    message = "task 4003_7 ended as TIMEOUT; no attempts left (3 of 3)"
    assert judged(*failed, max_attempts=3) == judgement(8, message, Cause.TIMEOUT)
    assert judged(*failed, max_attempts=4).rule == 9


def test_rule_8_preempted_attempts_are_not_counted() -> None:
    preempted = [attempt(number, "PREEMPTED") for number in range(1, 100)]
    message = "task 4099_7 ended as PREEMPTED"
    assert judged(*preempted, max_attempts=1) == judgement(9, message, Cause.PREEMPTED)


def test_rule_8_attempts_that_a_person_canceled_are_not_counted() -> None:
    ended = [attempt(n, "CANCELLED") for n in (1, 2)] + [attempt(3, words=words(Cause.REFUSED))]
    assert judged(*ended, attempt(4, "FAILED"), max_attempts=2).rule == 9


def test_rule_8_a_timeout_that_made_progress_is_not_counted() -> None:
    went_on = [attempt(number, "TIMEOUT", rows=500) for number in range(1, 100)]
    assert judged(*went_on, max_attempts=1).rule == 9
    stuck = [*went_on, attempt(100, "TIMEOUT", rows=0)]
    used_up = "no attempts left (1 of 1, and 99 that did not count)"
    message = f"task 4100_7 ended as TIMEOUT; {used_up}"
    assert judged(*stuck, max_attempts=1) == judgement(8, message, Cause.TIMEOUT)


def test_rule_8_crashes_at_a_post_that_is_set_aside_are_not_counted_up_to_a_limit() -> None:
    """Each such post takes two: one that brings it under suspicion, one at the post alone."""
    pair = [attempt(1, "FAILED"), attempt(2, "FAILED", solo_attempts=1)]
    deaths = [replace(pair[n % 2], number=n + 1) for n in range(20)]
    shard = ShardFacts(index=7, posts=10, output=NO_OUTPUT, attempts=tuple(deaths))
    assert counted_attempts(shard, RetryPolicy(max_poison=10)) == 0
    assert counted_attempts(shard, RetryPolicy(max_poison=9)) == 2
    assert counted_attempts(shard, RetryPolicy(max_poison=0)) == 20
    other = replace(shard, attempts=(attempt(1, "TIMEOUT", solo_attempts=1), attempt(2, "FAILED")))
    assert counted_attempts(other, RetryPolicy()) == 2


def test_rule_8_what_needs_a_person_is_shown_at_once() -> None:
    refused = attempt(record=record("FAILED", ended_at=NOW), words=words(Cause.REFUSED))
    assert judged(refused) == judgement(8, "in its own words", Cause.REFUSED)
    canceled = attempt(record=record("CANCELLED", ended_at=NOW))
    message = "task 4001_7 ended as CANCELLED"
    assert judged(canceled) == judgement(8, message, Cause.CANCELLED)
    waited = replace(canceled, upstream=("4711", "4712_3"), began=False)
    message = (
        "task 4001_7 ended as CANCELLED while it waited for 4711,4712_3 to succeed "
        "(sacct -j 4711,4712_3)"
    )
    assert judged(waited) == judgement(8, message, Cause.CANCELLED)
    crashed = attempt(record=record("FAILED", ended_at=NOW))
    message = "task 4001_7 ended as FAILED; no attempts left (1 of 1)"
    assert judged(crashed, max_attempts=1) == judgement(8, message, Cause.CRASHED)


def beat(minutes_ago: float, error: str = "") -> Heartbeat:
    return Heartbeat(written_at=NOW, progress_at=NOW - timedelta(minutes=minutes_ago), rows=3,
                     posts=10, rate_per_minute=0.0, last_error=error, node="n1")  # fmt: skip


def test_rule_4_a_stalled_task_is_distinguished_from_a_slow_one() -> None:
    def running(since: Heartbeat | None, started: int = 600) -> Judgement:
        started_at = NOW - timedelta(minutes=started)
        alive = attempt(1, record=record("RUNNING", started_at=started_at))
        shard = ShardFacts(index=7, posts=10, output=NO_OUTPUT, attempts=(alive,), heartbeat=since)
        seen = Observation(observed_at=NOW, shards=(shard,), answered=True, last_answer=None)
        return judge(shard, seen, grace=GRACE, policy=RetryPolicy(stall_minutes=30))

    assert running(beat(29)) == judgement(4, "task 4001_7 is RUNNING")
    stuck = running(beat(42, "HTTP 503"))
    assert stuck.stalled
    assert stuck.message == (
        "task 4001_7 is RUNNING and has made no progress for 42 min; its last error: HTTP 503"
    )
    # A life that began since then has had no time yet; one that never got to work has.
    assert not running(beat(42), started=10).stalled
    assert not running(None, started=29).stalled
    assert running(None, started=31).stalled
    # A task that waits for room on the disk has answers in memory that are paid for.
    waiting = msgspec.structs.replace(beat(42, "cannot write answers"), waits_for_disk=True)
    message = "task 4001_7 is RUNNING, but cannot write answers"
    assert running(waiting) == judgement(4, message)
    earlier = msgspec.structs.replace(waiting, written_at=NOW - timedelta(minutes=41))
    assert running(earlier, started=40).stalled, "its former life waited"


@pytest.mark.parametrize("attempts", [(), (attempt(1, "COMPLETED"),), (attempt(1, "FAILED"),)])
def test_rule_6_an_output_that_cannot_be_read_is_not_labeled_again(
    attempts: tuple[Attempt, ...],
) -> None:
    stale = judged(*attempts, output=OutputCheck(unreadable="Stale file handle"))
    message = "its output cannot be read now, so it may be done: Stale file handle"
    assert stale == replace(judgement(6, message), awaits_file=True)
    denied = judged(
        *attempts, output=OutputCheck(unreadable="Permission denied", needs_person=True)
    )
    assert (denied.rule, denied.state) == (6, State.BLOCKED)
    assert_not_resubmittable(stale, denied)


def assert_not_resubmittable(*judgements: Judgement) -> None:
    for judgement in judgements:
        alone = (replace(judgement, index=0),)
        assert resubmittable(alone, force=True) == ((), None)
        chosen, why_not = resubmittable(alone, indices=[0], force=True)
        assert chosen == () and why_not


@pytest.mark.parametrize("state", [None, "FAILED", "CANCELLED", "COMPLETED"])
@pytest.mark.parametrize("answered", [True, False])
def test_rule_6_last_words_that_cannot_be_read_may_say_anything(
    state: str | None, answered: bool
) -> None:
    """They may say that the run was rejected, and to try it again would cost another attempt."""

    def with_words(unread: UnreadableFile) -> Judgement:
        return judged(attempt(1, state, unread_words=unread), answered=answered, max_attempts=1)

    stale = with_words(UnreadableFile("w.json cannot be read now: Stale file handle", False))
    message = "w.json cannot be read now: Stale file handle, so nobody knows why task 4001_7 ended"
    assert stale == replace(judgement(6, message), awaits_file=True)
    denied = with_words(UnreadableFile("w.json cannot be read now: Permission denied", True))
    assert (denied.rule, denied.state, denied.awaits_file) == (6, State.BLOCKED, True)
    assert_not_resubmittable(stale, denied)


def test_rule_6_last_words_of_an_earlier_attempt_or_life_decide_nothing() -> None:
    unread = UnreadableFile("w.json cannot be read now: Stale file handle", False)
    earlier = attempt(1, "FAILED", unread_words=unread)
    assert judged(earlier, attempt(2, "FAILED")).rule == 9
    assert judged(attempt(1, "RUNNING", unread_words=unread)).rule == 4
    assert judged(attempt(1, "PENDING", unread_words=unread)).rule == 5


def test_rule_6_a_heartbeat_that_cannot_be_read_may_be_a_sign_of_life() -> None:
    def with_heartbeat(
        needs_person: bool, state: str | None = None, grace: timedelta = GRACE
    ) -> Judgement:
        unread = UnreadableFile("h.json cannot be read now: why", needs_person)
        shard = ShardFacts(index=7, posts=10, output=NO_OUTPUT, attempts=(attempt(1, state),),
                           unread_heartbeat=unread)  # fmt: skip
        beside = replace(shard, index=8, unread_heartbeat=None, attempts=(attempt(1),))
        seen = Observation(observed_at=NOW, shards=(shard, beside), answered=True, last_answer=NOW)
        first, second = judge_all(seen, grace=grace, policy=RetryPolicy())
        assert second.state is (State.UNKNOWN if first.awaits_file else State.FAILED)
        return first

    message = (
        "Slurm has no record of task 4001_7, but it may be alive: h.json cannot be read now: why"
    )
    passing = with_heartbeat(needs_person=False)
    assert passing == replace(judgement(6, message), awaits_file=True)
    lasting = with_heartbeat(needs_person=True)
    assert (lasting.rule, lasting.state) == (6, State.BLOCKED)
    assert_not_resubmittable(passing, lasting)
    # Slurm's record needs no heartbeat, and on one machine no record means that there is no task.
    assert with_heartbeat(needs_person=False, state="FAILED").rule == 9
    assert with_heartbeat(needs_person=False, grace=timedelta(0)).rule == 9


def test_rules_3_to_5_come_before_an_output_that_cannot_be_read() -> None:
    for rule, state in ((3, "REQUEUE_HOLD"), (4, "RUNNING"), (5, "PENDING")):
        assert judged(attempt(1, state), output=OutputCheck(unreadable="stale")).rule == rule


def test_rule_9_says_what_ended_where_and_how() -> None:
    ended = attempt(record=record("FAILED", exit_code="3:0", node="n2"))
    message = "task 4001_7 ended as FAILED (exit code 3:0, on n2)"
    assert judged(ended) == judgement(9, message, Cause.CRASHED)


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        ("9:0", "killed by SIGKILL, exit code 9:0"),
        ("0:9", "killed by SIGKILL, exit code 0:9"),
        ("0:11", "killed by SIGSEGV, exit code 0:11"),
        ("1:0", "exit code 1:0"),
        ("0:0", "exit code 0:0"),
        ("0:125", "exit code 0:125"),
        ("127:0", "exit code 127:0"),
        ("9", "exit code 9"),
        ("-9", "exit code -9"),
    ],
)
def test_a_signal_that_ended_a_task_is_named(exit_code: str, words: str) -> None:
    assert describe_exit(exit_code) == words


@pytest.mark.parametrize(
    ("state", "exit_code", "message"),
    [
        ("OUT_OF_MEMORY", "0:125", "ran out of memory: it ended as OUT_OF_MEMORY"),
        ("FAILED", "0:125", "ran out of memory, as its exit code says: it ended as FAILED"),
        (
            "FAILED",
            "1:0",
            "ran out of memory, as Slurm's record of one of its steps says: it ended as FAILED",
        ),
    ],
)
def test_rule_9_says_that_memory_ran_out_and_how_that_is_known(
    state: str, exit_code: str, message: str
) -> None:
    cause = Cause.OUT_OF_MEMORY
    known = record(state, exit_code=exit_code, node="n2", cause=cause)
    words = f"task 4001_7 {message} (exit code {exit_code}, on n2)"
    assert judged(attempt(record=known)) == judgement(9, words, cause)


def test_rule_9_says_why_an_output_does_not_count() -> None:
    message = "task 4001_7 ended as COMPLETED; its output was rejected: it has 9 rows, not 10"
    done = judged(attempt(1, "COMPLETED"), output=OutputCheck(problem="it has 9 rows, not 10"))
    assert done == judgement(9, message, Cause.NO_OUTPUT)


def test_rule_9_a_task_without_any_record_is_lost() -> None:
    message = "Slurm has no record of task 4001_7"
    assert judged(attempt()) == judgement(9, message, Cause.LOST)
    local = judged(attempt(array_job_id=None))
    assert local == judgement(9, "there is no record of the process of submission 1", Cause.LOST)


def test_a_requeued_task_is_queued_whatever_its_earlier_start_reported() -> None:
    """Same id, a life before: its last words lie in the folder until it starts again."""
    back = attempt(record=record("PENDING"), words=words(Cause.REFUSED))
    assert judged(back) == judgement(5, "task 4001_7 is PENDING")


def test_the_cause_is_that_of_the_last_attempt_and_last_words_override_slurms_state() -> None:
    first = attempt(1, "OUT_OF_MEMORY")
    second = attempt(2, "COMPLETED", words=words(Cause.THROTTLED, "quota"))
    assert judged(first, second) == judgement(9, "quota", Cause.THROTTLED)


def test_last_words_without_a_slurm_record_mean_that_the_task_ended() -> None:
    """Accounting is off, and the controller has forgotten the job."""
    spoke = attempt(words=words(Cause.CRASHED))
    assert judged(spoke, answered=False) == judgement(9, "in its own words", Cause.CRASHED)


times = st.integers(-600, 3600).map(lambda seconds: NOW - timedelta(seconds=seconds))
records = st.builds(
    lambda known, ended, reason: TaskRecord(
        phase=known[1][0], slurm_state=known[0], cause=known[1][1], reason=reason,
        ended_at=ended if known[1][0] is Phase.ENDED else None,
    ),
    st.sampled_from(ANY_STATE), st.none() | times, st.none() | st.just("JobHeldUser"),
)  # fmt: skip
unread = st.booleans().map(lambda needs_person: UnreadableFile("x", needs_person))
attempts = st.lists(
    st.builds(
        lambda job, at, known, last_words: attempt(
            array_job_id=job, submitted_at=at, record=known,
            words=last_words if isinstance(last_words, LastWords) else None,
            unread_words=last_words if isinstance(last_words, UnreadableFile) else None,
        ),
        st.none() | st.integers(1, 9), times, st.none() | records,
        st.none() | st.sampled_from(list(Cause)).map(words) | unread,
    ),
    max_size=5,
).map(lambda drawn: tuple(replace(item, number=n) for n, item in enumerate(drawn, 1)))  # fmt: skip
outputs = st.sampled_from(
    [
        OutputCheck(), OutputCheck(problem="half a file"), OutputCheck(publication="p"),
        OutputCheck(unreadable="stale"), OutputCheck(unreadable="denied", needs_person=True),
    ]
)  # fmt: skip
shards = st.builds(ShardFacts, index=st.integers(0, 9), posts=st.just(10), output=outputs,
                   attempts=attempts, unread_heartbeat=st.none() | unread)  # fmt: skip
observations = st.builds(
    Observation, observed_at=st.just(NOW), shards=st.lists(shards, max_size=4).map(tuple),
    answered=st.booleans(), last_answer=st.none() | times, trouble=st.none() | st.just("down"),
)  # fmt: skip


@settings(deadline=None)
@given(observations, st.integers(1, 5), st.integers(0, 600))
def test_every_shard_is_in_exactly_one_state(seen: Observation, most: int, grace: int) -> None:
    judged = judge_all(seen, grace=timedelta(seconds=grace), policy=RetryPolicy(max_attempts=most))
    assert [judgement.index for judgement in judged] == [shard.index for shard in seen.shards]
    for judgement, shard in zip(judged, seen.shards, strict=True):
        may_block = (judgement.rule, judgement.awaits_file) == (6, True)
        assert judgement.state == STATE_OF_RULE[judgement.rule] or (
            may_block and judgement.state is State.BLOCKED
        )
        assert not judgement.awaits_file or judgement.rule == 6
        if shard.output.unreadable or (shard.attempts and shard.attempts[-1].unread_words):
            assert judgement.rule in (1, 3, 4, 5, 6), "nothing labels it again"
        if shard.output.unreadable:
            assert judgement.rule in (3, 4, 5, 6), "nothing labels it again"
        assert judgement.rule == 7 or (judgement.cause is not None) == (judgement.rule in (8, 9))
        assert judgement.cause is None or judgement.rule >= 7
        rest = rest_of_grace(shard, seen, timedelta(seconds=grace))
        assert 0 <= rest <= grace
        if judgement.rule == 7:
            assert rest
            assert judgement.cause is None or REMEDY[judgement.cause] is not Remedy.ASK
        assert not (rest and judgement.rule == 9), "nothing is resubmitted while files may be late"
        assert (judgement.rule == 1) == shard.output.verified
        alive = {Phase.HELD, Phase.ACTIVE, Phase.WAITING} & {a.phase for a in shard.attempts}
        if alive and not shard.output.verified:
            assert judgement.rule in (3, 4, 5)
        if judgement.cause:
            last = shard.attempts[-1]
            assert judgement.cause is why_ended(last)[0]
            assert last.record or last.words or seen.answered
        if judgement.rule == 9:
            assert counted_attempts(shard, RetryPolicy()) < most
            assert REMEDY[why_ended(shard.attempts[-1])[0]] is not Remedy.ASK


@settings(deadline=None)
@given(observations, st.integers(1, 5), st.integers(0, 7200))
def test_time_alone_ends_a_wait_and_changes_no_other_state(
    seen: Observation, most: int, later: int
) -> None:
    then = replace(seen, observed_at=seen.observed_at + timedelta(seconds=later))
    before = judge_all(seen, grace=GRACE, policy=RetryPolicy(max_attempts=most))
    after = judge_all(then, grace=GRACE, policy=RetryPolicy(max_attempts=most))
    for old, new in zip(before, after, strict=True):
        ages = replace(new, message=old.message, stalled=old.stalled)  # "last answer 3 min ago"
        assert old.rule == 7 or (ages if old.rule in (4, 6) else new) == old


@settings(deadline=None)
@given(observations)
def test_an_unknown_shard_never_fails_while_slurm_does_not_answer(seen: Observation) -> None:
    silent = replace(seen, answered=False)
    for judgement, shard in zip(
        judge_all(silent, grace=GRACE, policy=RetryPolicy()), seen.shards, strict=True
    ):
        if shard.attempts and not (shard.attempts[-1].record or shard.attempts[-1].words):
            assert judgement.state not in (State.FAILED, State.PLANNED)
            assert judgement.cause is None
