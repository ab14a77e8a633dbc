"""What is told of running tasks, of errors and of a quota, by the heartbeats of tasks."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from hpc.display.live.errors import FAULT_WORDS, count_errors, describe_errors
from hpc.display.live.quota import QuotaUse, describe_quota, quota_use
from hpc.display.live.remaining import describe_to_go
from hpc.display.live.stacked_bar import divide
from hpc.display.live.tasks import Urgency, most_urgent_first, running_tasks
from hpc.display.run.status_table import describe_activity, document
from hpc.run.model.attempts import Attempt, Phase, TaskRecord
from hpc.run.model.run import Run
from hpc.run.model.shards import Judgement, ShardFacts, State
from pipeline.errors import Cause
from pipeline.run_files.amendments import Amendment, Change
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.output import OutputCheck
from pipeline.service.activity import RequestFault
from tests.hpc.display.watched_runs import NOW, heartbeat, make_run, resting, running, status_of


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path, 9, requests_per_minute=3000)


def test_tasks_that_need_a_person_come_first_and_then_the_slowest(run: Run) -> None:
    shards = [
        running(0, heartbeat(200, rate=60)),
        running(1, heartbeat(10, rate=60)),
        running(2, heartbeat(200, rate=0)),
        running(3, heartbeat(10, last_error="HTTP 503")),
        running(4, None),
        running(5, heartbeat(10, age_s=61)),
        running(6, heartbeat(10), stalled=True),
        resting(7, State.QUEUED),
        resting(8, State.DONE),
    ]
    tasks = most_urgent_first(running_tasks(status_of(run, shards)), NOW)
    assert [(task.shard, task.urgency(NOW)) for task in tasks] == [
        (6, Urgency.STALLED),
        (4, Urgency.SILENT),
        (5, Urgency.SILENT),
        (3, Urgency.TROUBLED),
        (2, Urgency.WORKING),
        (1, Urgency.WORKING),
        (0, Urgency.WORKING),
    ]


def test_a_task_has_no_rate_in_its_first_seconds(run: Run) -> None:
    def rate(age_s: float) -> float | None:
        beat = heartbeat(100, age_s=0, rate=6000, began_at=NOW - timedelta(seconds=age_s))
        (task,) = running_tasks(status_of(run, [running(0, beat)]))
        return task.rate_per_minute

    assert [rate(14), rate(15)] == [None, 6000]


def test_the_heartbeat_of_an_earlier_attempt_is_no_sign_of_this_one(run: Run) -> None:
    (task,) = running_tasks(status_of(run, [running(0, heartbeat(age_s=601))]))
    assert (task.written_at, task.rate_per_minute, task.memory_mb) == (None, None, None)
    assert task.node == "qnode0"


def test_a_task_that_slurm_does_not_speak_of_is_shown_by_its_heartbeat(run: Run) -> None:
    (facts, judged), silent = running(0, heartbeat()), running(1, None)
    unknown = [
        (facts, structs.replace(judged, state=State.UNKNOWN)),
        (silent[0], structs.replace(silent[1], state=State.UNKNOWN)),
    ]
    tasks = running_tasks(status_of(run, unknown, trouble="squeue: timed out"))
    assert [task.shard for task in tasks] == [0]


def ended(index: int, state: State, *causes: Cause) -> tuple[ShardFacts, Judgement]:
    attempts = tuple(
        Attempt(
            number=number, array_job_id=1, array_task_index=index, submitted_at=NOW,
            record=TaskRecord(phase=Phase.ENDED, slurm_state="FAILED", cause=Cause.CRASHED),
            words=LastWords(cause=cause, message="", traceback="", node="n1", written_at=""),
        )
        for number, cause in enumerate(causes)
    )  # fmt: skip
    facts = ShardFacts(index=index, posts=250, output=OutputCheck(), attempts=attempts)
    rule = 9 if state is State.FAILED else 7
    return facts, Judgement(index=index, state=state, rule=rule, cause=causes[-1])


def test_errors_are_counted_by_kind(run: Run) -> None:
    shards = [
        running(0, heartbeat(faults={"throttled": 80, "timed_out": 1}, unlabelable={"poison": 2})),
        running(1, heartbeat(faults={"throttled": 4, "of a later version": 3})),
        running(2, None),
        ended(3, State.FAILED, Cause.TIMEOUT, Cause.NODE),
        ended(4, State.FAILED, Cause.TIMEOUT),
        ended(5, State.ENDING, Cause.CRASHED),
    ]
    status = status_of(run, shards)
    assert document(status)["errors"] == {
        "requests": {"throttled": 84, "of a later version": 3, "timed_out": 1},
        "posts": {"poison": 2},
        "tasks": {"timeout": 2, "node": 1},
    }
    facts, judgement = ended(6, State.DONE, Cause.TIMEOUT, Cause.CRASHED)
    done = structs.replace(facts, output=OutputCheck(publication="p"))
    assert count_errors(status_of(run, [*shards, (done, judgement)])) == count_errors(status)
    assert describe_errors(count_errors(status)) == [
        "requests without an answer: 84 too many requests (HTTP 429), 3 of a later version, "
        "1 no answer in time",
        "failed attempts of unfinished shards: 2 timeout, 1 node",
    ]


def test_a_task_that_was_canceled_while_pending_never_started(run: Run) -> None:
    record = TaskRecord(phase=Phase.ENDED, slurm_state="CANCELLED", cause=Cause.CANCELLED)
    attempt = Attempt(number=1, array_job_id=1, array_task_index=0, submitted_at=NOW, record=record)
    ran = structs.replace(attempt, record=structs.replace(record, node="n1", elapsed_s=5))
    shards = [
        (
            ShardFacts(index=index, posts=250, output=OutputCheck(), attempts=(each,)),
            Judgement(index=index, state=State.BLOCKED, rule=8, cause=Cause.CANCELLED),
        )
        for index, each in enumerate((ran, attempt, attempt))
    ]
    assert describe_errors(count_errors(status_of(run, shards))) == [
        "failed attempts of unfinished shards: 3 cancelled (2 never started)"
    ]


def test_every_fault_has_its_words() -> None:
    assert set(FAULT_WORDS) == set(RequestFault)


def test_the_quota_in_use_is_the_sum_over_the_tasks_that_speak(run: Run) -> None:
    shards = [
        running(0, heartbeat(requests_last_minute=1500, quota_tasks=5)),
        running(1, heartbeat(requests_last_minute=1452, quota_tasks=4)),
        running(2, heartbeat(requests_last_minute=999, age_s=61)),
        running(3, heartbeat()),
        resting(4, State.QUEUED),
    ]
    use = quota_use(status_of(run, shards))
    assert use == QuotaUse(
        requests_per_minute=2952, quota_per_minute=3000, other_tasks=3, tasks_by_quota={3000: 2},
        next_quota_per_minute=3000,
    )  # fmt: skip
    assert describe_quota(use) == (
        "2,952 of 3,000 requests in the last minute (98 %), shared with 3 tasks of other runs"
    )
    assert document(status_of(run, shards))["quota"] == {
        "requests_per_minute": 2952, "quota_per_minute": 3000, "other_tasks": 3,
        "next_quota_per_minute": 3000, "tasks_without_share": 0,
    }  # fmt: skip


def test_tasks_of_the_run_that_start_or_have_just_ended_are_not_tasks_of_other_runs(
    run: Run,
) -> None:
    shards = [
        running(0, heartbeat(requests_last_minute=1500, quota_tasks=5, age_s=14)),
        running(1, heartbeat(requests_last_minute=1452, quota_tasks=4, age_s=2)),
        running(2, None),
    ]
    use = quota_use(status_of(run, shards))
    assert use is not None
    assert use.other_tasks == 1
    facts, _ = running(3, None)
    over = TaskRecord(
        phase=Phase.ENDED,
        slurm_state="COMPLETED",
        started_at=NOW - timedelta(minutes=5),
        ended_at=NOW - timedelta(seconds=20),
    )
    done = structs.replace(facts, attempts=(structs.replace(facts.attempts[0], record=over),))
    use = quota_use(status_of(run, [*shards, (done, resting(3, State.DONE)[1])]))
    assert use is not None
    assert use.other_tasks == 0


def test_killed_tasks_of_the_run_are_not_tasks_of_other_runs(run: Run) -> None:
    def killed(index: int, state: State, age_s: float) -> tuple[ShardFacts, Judgement]:
        facts, judgement = ended(index, state, Cause.CRASHED)
        beat = heartbeat(age_s=age_s, quota_tasks=5)
        return structs.replace(facts, left_behind=beat), judgement

    shards = [
        running(0, heartbeat(requests_last_minute=1500, quota_tasks=5)),
        running(1, heartbeat(requests_last_minute=1452, quota_tasks=5)),
        killed(2, State.ENDING, 40),
        killed(3, State.FAILED, 100),
        killed(4, State.FAILED, 121),
    ]
    use = quota_use(status_of(run, shards))
    assert use is not None
    assert use.other_tasks == 1


def test_a_task_that_was_killed_before_it_kept_an_answer_is_of_the_run_too(run: Run) -> None:
    started = NOW - timedelta(minutes=1)
    killed = TaskRecord(
        phase=Phase.ENDED, slurm_state="CANCELLED", started_at=started,
        ended_at=NOW - timedelta(seconds=8),
    )  # fmt: skip
    attempt = Attempt(
        number=1, array_job_id=1, array_task_index=0, submitted_at=started, record=killed
    )
    again, judgement = running(0, heartbeat(requests_last_minute=5, quota_tasks=3))
    blocked = ShardFacts(index=1, posts=250, output=OutputCheck(), attempts=(attempt,))
    shards = [
        (structs.replace(again, attempts=(attempt, *again.attempts)), judgement),
        (blocked, Judgement(index=1, state=State.BLOCKED, rule=8, cause=Cause.CANCELLED)),
    ]
    use = quota_use(status_of(run, shards))
    assert use is not None
    assert use.other_tasks == 0


def submitted_in(number: int, shard: tuple[ShardFacts, Judgement]) -> tuple[ShardFacts, Judgement]:
    facts, judgement = shard
    (attempt,) = facts.attempts
    again = structs.replace(attempt, number=number)
    return structs.replace(facts, attempts=(again,)), judgement


def corrected(run: Run, old: int | None, new: int | None) -> Run:
    """The run with a quota that was corrected after its first submission."""
    key = "classifier.requests_per_minute"
    amendment = Amendment(
        format=1, number=1, amended_at="2026-11-24T11:55:00", amended_by="anna", version="0.1.0",
        after_attempt=1, changes=(Change(key=key, place=key, old=old, new=new),),
    )  # fmt: skip
    classifier = {**run.manifest.classifier, "requests_per_minute": new}
    manifest = structs.replace(run.manifest, classifier=classifier)
    return replace(run, manifest=manifest, amendments=(amendment,))


def test_running_tasks_keep_the_quota_that_they_were_submitted_with(run: Run) -> None:
    beat = heartbeat(requests_last_minute=1200)
    earlier = [submitted_in(1, running(index, beat)) for index in range(2)]
    later = submitted_in(2, running(2, heartbeat(requests_last_minute=60)))

    use = quota_use(status_of(corrected(run, 3000, 600), earlier))
    assert use is not None
    assert (use.quota_per_minute, use.next_quota_per_minute) == (3000, 600)
    assert describe_quota(use) == (
        "2,400 of 3,000 requests in the last minute (80 %); the next tasks get a quota of 600"
    )
    use = quota_use(status_of(corrected(run, 3000, 600), [*earlier, later]))
    assert use is not None
    assert use.tasks_by_quota == {3000: 2, 600: 1}
    assert describe_quota(use) == (
        "2,460 requests in the last minute; 2 tasks with a quota of 3,000, 1 task with a quota of "
        "600; the next tasks get a quota of 600"
    )
    use = quota_use(status_of(corrected(run, None, 600), earlier))
    assert use is not None
    assert (use.quota_per_minute, use.next_quota_per_minute) == (None, 600)
    assert describe_quota(use) == (
        "2,400 requests in the last minute; the next tasks get a quota of 600"
    )


def test_tasks_that_only_watch_their_quota_have_no_share_of_it_yet(run: Run) -> None:
    joins = heartbeat(requests_last_minute=0, throttled=True)
    shards = [
        running(0, heartbeat(requests_last_minute=1, quota_tasks=1)),
        running(1, joins),
        running(2, joins),
        running(3, heartbeat(requests_last_minute=0, quota_tasks=1, throttled=True)),
    ]
    use = quota_use(status_of(run, shards))
    assert use is not None
    assert document(status_of(run, shards))["quota"]["tasks_without_share"] == use.joining == 2
    assert describe_quota(use) == (
        "1 of 3,000 requests in the last minute (0 %); 2 tasks have no share of it yet"
    )
    unlimited = quota_use(status_of(corrected(run, None, None), shards))
    assert unlimited is not None
    assert unlimited.joining == 0


def test_without_a_quota_no_quota_is_in_use(tmp_path: Path) -> None:
    run = make_run(tmp_path, 1)
    status = status_of(run, [running(0, heartbeat(requests_last_minute=0))])
    assert describe_activity(status) == []
    assert document(status)["quota"] == {
        "requests_per_minute": 0, "quota_per_minute": None, "other_tasks": None,
        "next_quota_per_minute": None, "tasks_without_share": 0,
    }  # fmt: skip
    assert quota_use(status_of(run, [running(0, heartbeat())])) is None


def test_the_document_has_a_row_for_each_running_task(run: Run) -> None:
    (task,) = document(status_of(run, [running(0, heartbeat(40, age_s=12))]))["tasks"]
    assert task == {
        "shard": 0, "node": "qnode0", "posts": 250, "posts_done": 40, "rate": 60.0,
        "heartbeat_age_s": 12.0, "rss_mb": 96.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (59, "less than a minute to go"),
        (7200, "about 2 h to go, done at 14:00"),
        (43200, "about 12 h to go, done on Wed 00:00"),
        (7 * 86400, "about 7 days to go, done on 2026-12-01"),
        (1e30, f"about {1e30 / 86400:.0f} days to go"),
    ],
)
def test_the_time_to_go_says_when_that_is(seconds: float, words: str) -> None:
    assert describe_to_go(seconds, NOW) == words


def test_ages_are_never_negative(run: Run) -> None:
    """A node's clock may be ahead."""
    (task,) = running_tasks(status_of(run, [running(0, heartbeat(age_s=-30))]))
    now: datetime = NOW
    assert task.age_s(now) == 0
    assert task.age_s(now + timedelta(seconds=45)) == 15


@given(st.lists(st.integers(0, 10**12), max_size=8), st.integers(0, 200))
def test_a_bar_is_full_and_shows_every_part(amounts: list[int], cells: int) -> None:
    shares = divide(amounts, cells)
    parts = [share for share, amount in zip(shares, amounts, strict=True) if amount]
    assert sum(shares) == (cells if parts else 0)
    assert all(share >= 0 for share in shares)
    assert all(share == 0 for share, amount in zip(shares, amounts, strict=True) if not amount)
    if parts and cells >= len(parts):
        assert min(parts) >= 1
