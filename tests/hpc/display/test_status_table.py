"""The report on a run, and its document, for made-up judgements."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from hpc.display.next_step import command, describe_next_step
from hpc.display.run import status_table
from hpc.display.terminal.render import plain_text
from hpc.run import run_folder
from hpc.run.model.attempts import Attempt, Phase, TaskRecord
from hpc.run.model.run import Run
from hpc.run.model.shards import Judgement, Observation, ShardFacts, State
from hpc.run.next_step import NextStep, next_command, next_step
from hpc.run.run_state import EXIT_CODE, RunState, RunStatus, run_state
from pipeline.errors import Cause
from pipeline.run_files.heartbeat import Heartbeat
from pipeline.run_files.output import OutputCheck
from tests.pipeline import run_builders

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DONE = OutputCheck(publication="p")
HALF = "1,000 of 2,000 posts done (50 %)"


@pytest.fixture
def run_of_eight_shards(tmp_path: Path) -> Run:
    """Eight shards of 250 posts."""
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(2000), shards=8)
    return run_folder.load(folder)


def test_a_run_of_a_sample_says_so(run_of_eight_shards: Run) -> None:
    sampled = structs.replace(run_of_eight_shards.manifest, sample="test-s42-n2000")
    run = replace(run_of_eight_shards, manifest=sampled)
    assert table(run, FACTS, JUDGED).splitlines()[1] == "posts of the sample test-s42-n2000"
    assert status_table.document(status_of(run, *JUDGED))["sample"] == "test-s42-n2000"


def judgement(index: int, state: State, cause: Cause | None = None, message: str = "") -> Judgement:
    return Judgement(index=index, state=state, rule=0, cause=cause, message=message)


def attempt(number: int, index: int, *, started_min_ago: float | None) -> Attempt:
    started = None if started_min_ago is None else NOW - timedelta(minutes=started_min_ago)
    return Attempt(
        number=number, array_job_id=4000 + number, array_task_index=index, submitted_at=NOW,
        record=TaskRecord(phase=Phase.ACTIVE, slurm_state="RUNNING", started_at=started),
    )  # fmt: skip


def status_of(run: Run, *judgements: Judgement) -> RunStatus:
    return RunStatus(run=run, observation=observed(FACTS), judgements=judgements)


def table(run: Run, facts: list[ShardFacts], judgements: Sequence[Judgement]) -> str:
    """Return a run's report as plain text."""
    status = RunStatus(run=run, observation=observed(facts), judgements=tuple(judgements))
    return plain_text(status_table.describe_status(status))


def observed(facts: list[ShardFacts]) -> Observation:
    return Observation(observed_at=NOW, shards=tuple(facts), answered=True, last_answer=NOW)


JUDGED = [
    judgement(0, State.DONE),
    judgement(1, State.DONE),
    judgement(2, State.RUNNING, message="task 4001_2 is RUNNING"),
    judgement(3, State.FAILED, Cause.TIMEOUT, "task 4001_3 ended as TIMEOUT"),
    judgement(4, State.FAILED, Cause.TIMEOUT, "task 4001_3 ended as TIMEOUT"),
    judgement(5, State.BLOCKED, Cause.REFUSED, "HTTP 403: check the API key"),
    judgement(6, State.BLOCKED, message="Slurm holds task 4001_6"),
    judgement(7, State.PLANNED, message="not submitted yet"),
]
JUDGED_AGAIN = [judgement(0, State.RUNNING), judgement(1, State.DONE)]
FACTS = [
    ShardFacts(
        index=index,
        posts=250,
        output=DONE if index < 2 else OutputCheck(),
        rows=100 if index == 2 else 0,
        attempts=()
        if index == 7
        else (
            attempt(1, index, started_min_ago=10),
            *([attempt(2, index, started_min_ago=2)] if index == 3 else []),
        ),
    )
    for index in range(8)
]


def test_the_report_has_states_causes_progress_and_messages(run_of_eight_shards: Run) -> None:
    assert table(run_of_eight_shards, FACTS, JUDGED) == (
        "run 20240601T120000-valence-0123abcd: running\n"
        "\n"
        "  STATE    CAUSE    SHARDS  INDICES\n"
        "  done                   2  0-1\n"
        "  planned                1  7\n"
        "  blocked  refused       1  5\n"
        "  blocked                1  6\n"
        "  running                1  2\n"
        "  failed   timeout       2  3-4\n"
        "\n"
        "600 of 2,000 posts done (30 %), 60 posts/min, about 15 min to go, done at 12:15, not "
        "counting 2 blocked shards\n"
        "\n"
        "  shard 3: task 4001_3 ended as TIMEOUT (and 1 more shard)\n"
        "  shard 5: HTTP 403: check the API key\n"
        "  shard 6: Slurm holds task 4001_6"
    )


def test_the_report_says_why_tasks_are_pending_and_what_helps(run_of_eight_shards: Run) -> None:
    def pending(index: int, reason: str, advice: str = "") -> ShardFacts:
        waiting = TaskRecord(
            phase=Phase.WAITING, slurm_state="PENDING", reason=reason, advice=advice
        )
        shown = structs.replace(attempt(1, index, started_min_ago=None), record=waiting)
        return ShardFacts(index=index, posts=250, output=OutputCheck(), attempts=(shown,))

    facts = [
        pending(0, "Priority"), pending(1, "Priority"), pending(2, "PartitionDown", "ask the site")
    ]  # fmt: skip
    text = table(run_of_eight_shards, facts, [judgement(index, State.QUEUED) for index in range(3)])
    assert "\npending: Priority (2), PartitionDown (1)\n  PartitionDown: ask the site" in text


def test_the_report_says_until_when_tasks_wait_that_were_submitted_for_later(
    run_of_eight_shards: Run,
) -> None:
    def delayed(index: int, cause: Cause, number: int) -> ShardFacts:
        record = TaskRecord(
            phase=Phase.WAITING, slurm_state="PENDING", reason="BeginTime", advice="later"
        )
        end = TaskRecord(phase=Phase.ENDED, slurm_state="FAILED", cause=cause, ended_at=NOW)
        first = structs.replace(attempt(1, index, started_min_ago=20), record=end)
        starts_at = NOW + timedelta(minutes=11)
        again = attempt(number, index, started_min_ago=None)
        again = structs.replace(again, record=record, starts_at=starts_at)
        return ShardFacts(index=index, posts=250, output=OutputCheck(), attempts=(first, again))

    facts = [
        delayed(0, Cause.UNAVAILABLE, 2),
        delayed(1, Cause.THROTTLED, 3),
        delayed(2, Cause.THROTTLED, 3),
    ]
    text = table(run_of_eight_shards, facts, [judgement(index, State.QUEUED) for index in range(3)])
    at, until = (f"{time.astimezone():%H:%M:%S}" for time in (NOW, NOW + timedelta(minutes=11)))
    assert text.endswith(
        "\npending: BeginTime (3)\n"
        f"  shard 0 waits until {until}, then asks the service again, which did not answer at {at}."
        " hpc resubmit starts it now\n"
        f"  shards 1-2 wait until {until}, since the quota was used up at {at}. "
        "hpc resubmit --indices 1-2 starts them now"
    )


def test_a_planned_run_has_a_short_report(run_of_eight_shards: Run) -> None:
    planned = [judgement(index, State.PLANNED) for index in range(8)]
    facts = [ShardFacts(index=index, posts=250, output=OutputCheck()) for index in range(8)]
    assert table(run_of_eight_shards, facts, planned) == (
        "run 20240601T120000-valence-0123abcd: planned\n"
        "\n"
        "  STATE    CAUSE  SHARDS  INDICES\n"
        "  planned              8  0-7\n"
        "\n"
        "0 of 2,000 posts done (0 %)"
    )


def progress(
    run: Run, rows: int, started_min_ago: float | None, state: State = State.RUNNING
) -> str:
    facts = [
        ShardFacts(
            index=0, posts=2000, output=OutputCheck(), rows=rows,
            attempts=(attempt(1, 0, started_min_ago=started_min_ago),),
        )
    ]  # fmt: skip
    return table(run, facts, [judgement(0, state)]).splitlines()[5]


@pytest.mark.parametrize(
    ("rows", "started_min_ago", "line"),
    [
        (0, 10, "0 of 2,000 posts done (0 %)"),
        (1000, None, "1,000 of 2,000 posts done (50 %)"),
        (1000, 0, "1,000 of 2,000 posts done (50 %)"),
        (1999, 10, "1,999 of 2,000 posts done (99 %), 200 posts/min, less than a minute to go"),
        (
            1000,
            119,
            f"{HALF}, 8 posts/min, about 119 min to go, done at 13:59",
        ),
        (
            1000,
            120,
            f"{HALF}, 8 posts/min, about 2 h to go, done at 14:00",
        ),
        (2000, 10, "2,000 of 2,000 posts done (100 %)"),
    ],
)
def test_progress_has_a_rate_and_a_time_to_go_where_they_are_known(
    run_of_eight_shards: Run, rows: int, started_min_ago: float | None, line: str
) -> None:
    assert progress(run_of_eight_shards, rows, started_min_ago) == line


@pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
def test_a_run_that_is_not_running_has_no_time_to_go(
    run_of_eight_shards: Run, state: State
) -> None:
    assert progress(run_of_eight_shards, 1000, 10, state) == "1,000 of 2,000 posts done (50 %)"


def test_a_suspended_task_has_no_rate(run_of_eight_shards: Run) -> None:
    at_work = attempt(1, 0, started_min_ago=10)
    assert at_work.record
    suspended = structs.replace(
        at_work, record=structs.replace(at_work.record, slurm_state="SUSPENDED")
    )
    facts = [ShardFacts(index=0, posts=2000, output=OutputCheck(), rows=9, attempts=(suspended,))]
    line = table(run_of_eight_shards, facts, [judgement(0, State.RUNNING)]).splitlines()[5]
    assert line == "9 of 2,000 posts done (0 %)"


def beat(rows: int, rate: float = 0.0) -> Heartbeat:
    return Heartbeat(written_at=NOW, progress_at=NOW, rows=rows, posts=250, rate_per_minute=rate,
                     last_error="", node="n1")  # fmt: skip


@pytest.mark.parametrize(
    ("state", "rows", "counted", "done"),
    [
        (State.RUNNING, 100, 180, 180),  # the heartbeat knows of answers that no part has yet
        (State.RUNNING, 100, 80, 100),  # a part was written since the last heartbeat
        (State.RUNNING, 100, 900, 250),  # never more than the shard has
        (State.UNKNOWN, 100, 180, 180),  # a colleague's look: the task may well be at work
        (State.ENDING, 100, 180, 100),  # what the task had in hand is gone with it
        (State.BLOCKED, 100, 180, 100),
        (State.DONE, 250, 9, 250),
    ],
)
def test_posts_done_are_those_of_the_heartbeat_while_the_task_may_be_at_work(
    run_of_eight_shards: Run, state: State, rows: int, counted: int, done: int
) -> None:
    output = DONE if state is State.DONE else OutputCheck()
    facts = structs.replace(FACTS[2], index=0, output=output, rows=rows, heartbeat=beat(counted))
    status = RunStatus(
        run=run_of_eight_shards, observation=observed([facts]), judgements=(judgement(0, state),)
    )
    document = status_table.document(status)
    assert (status.posts_done, document["posts_done"]) == (done, done)
    assert document["shards"][0]["posts_done"] == done
    assert status.posts_kept == rows


def test_posts_done_never_go_back_because_a_task_with_copied_answers_has_ended(
    run_of_eight_shards: Run,
) -> None:
    def seen(state: State, kept: int) -> tuple[int, int]:
        facts = structs.replace(FACTS[2], index=0, rows=kept, copies=90, heartbeat=beat(180))
        judgements = (judgement(0, state),)
        status = RunStatus(
            run=run_of_eight_shards, observation=observed([facts]), judgements=judgements
        )
        labels = status.labels
        return status.posts_done, labels.labeled + labels.unknown + sum(labels.unlabelable.values())

    assert seen(State.RUNNING, 100) == (180, 180)
    assert seen(State.FAILED, 100) == (180, 180)
    assert seen(State.FAILED, 60) == (150, 150)  # some of the answers are lost
    assert seen(State.FAILED, 0) == (0, 0)


def test_a_run_that_a_person_canceled_goes_on_by_force_only(run_of_eight_shards: Run) -> None:
    canceled = judgement(0, State.BLOCKED, Cause.CANCELLED)
    by_force = NextStep(verb="resubmit", options=("--force",))
    for other in (State.PLANNED, State.FAILED, State.ENDING, State.DONE):
        assert (
            next_command(status_of(run_of_eight_shards, canceled, judgement(1, other))) == by_force
        )
    running = status_of(run_of_eight_shards, canceled, judgement(1, State.RUNNING))
    assert next_command(running) == NextStep(verb="supervise")


def test_a_run_is_called_canceled_if_nothing_else_ended_its_tasks(
    run_of_eight_shards: Run,
) -> None:
    def headline(*states: State) -> str:
        canceled = judgement(0, State.BLOCKED, Cause.CANCELLED)
        others = (judgement(at, state) for at, state in enumerate(states, start=1))
        judged = [canceled, *others]
        facts = FACTS[: len(judged)]
        return table(run_of_eight_shards, facts, judged).splitlines()[0].split(": ")[1]

    assert headline(State.DONE) == headline(State.PLANNED) == "canceled"
    assert headline(State.FAILED) == "failed"
    assert headline(State.RUNNING) == "running"
    assert headline(State.BLOCKED) == "blocked"


def test_a_long_list_of_indices_is_cut_between_two_indices(run_of_eight_shards: Run) -> None:
    judged = [judgement(index, State.DONE) for index in range(0, 200, 2)]
    facts = [ShardFacts(index=index, posts=10, output=DONE) for index in range(0, 200, 2)]
    row = table(run_of_eight_shards, facts, judged).splitlines()[3]
    assert row == (
        "  done             100  0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,32,34,36,38,40,…"
    )


def test_the_three_most_frequent_messages_of_a_state_are_shown(run_of_eight_shards: Run) -> None:
    texts = ["a", "b", "b", "c", "c", "c", "d", "d"]
    judged = [judgement(i, State.FAILED, Cause.CRASHED, text) for i, text in enumerate(texts)]
    assert table(run_of_eight_shards, FACTS, judged).splitlines()[7:] == [
        "  shard 3: c (and 2 more shards)",
        "  shard 1: b (and 1 more shard)",
        "  shard 6: d (and 1 more shard)",
        "  and 1 more failed shard",
    ]


def test_messages_that_differ_only_by_the_task_are_shown_once(run_of_eight_shards: Run) -> None:
    texts = [f"task 4001_{index} ended as CANCELLED by 7 (on n1)" for index in range(8)]
    judged = [judgement(i, State.BLOCKED, Cause.CANCELLED, text) for i, text in enumerate(texts)]
    assert table(run_of_eight_shards, FACTS, judged).splitlines()[7:] == [
        "  shard 0: task 4001_0 ended as CANCELLED by 7 (on n1) (and 7 more shards)"
    ]


def test_the_rate_is_what_the_running_tasks_report(run_of_eight_shards: Run) -> None:
    def beat(rate: float) -> Heartbeat:
        return Heartbeat(written_at=NOW, progress_at=NOW, rows=100, posts=250,
                         rate_per_minute=rate, last_error="", node="n1")  # fmt: skip

    facts = [structs.replace(FACTS[2], index=at, heartbeat=beat(70.0)) for at in range(2)]
    judged = [judgement(at, State.RUNNING) for at in range(2)]
    line = table(run_of_eight_shards, facts, judged).splitlines()[5]
    assert (
        line == "200 of 2,000 posts done (10 %), 140 posts/min, about 13 min to go, done at 12:12"
    )


def test_there_is_no_rate_until_a_resubmitted_task_reports_its_own(
    run_of_eight_shards: Run,
) -> None:
    former = structs.replace(beat(100, rate=70.0), written_at=NOW - timedelta(minutes=3))
    again = (attempt(1, 0, started_min_ago=600), attempt(2, 0, started_min_ago=2))
    resubmitted = structs.replace(FACTS[2], index=0, attempts=again)
    lines = [
        table(run_of_eight_shards, [facts, FACTS[1]], JUDGED_AGAIN).splitlines()[6]
        for facts in (resubmitted, structs.replace(resubmitted, heartbeat=former))
    ]
    assert lines == ["350 of 2,000 posts done (17 %)"] * 2


def test_there_is_no_time_to_go_before_the_first_answer(run_of_eight_shards: Run) -> None:
    """Posts with too little text are done at once, while the server starts."""
    waits = Heartbeat(written_at=NOW, progress_at=NOW, rows=100, posts=250, rate_per_minute=0.0,
                      last_error="the server is starting", node="n1")  # fmt: skip
    facts = [
        structs.replace(FACTS[2], index=0, heartbeat=waits),
        structs.replace(FACTS[3], index=1),
    ]
    judged = [judgement(0, State.RUNNING), judgement(1, State.QUEUED)]
    line = table(run_of_eight_shards, facts, judged).splitlines()[6]
    assert line == "100 of 2,000 posts done (5 %)"
    # A shard that is done has had its answers: from then on there is a mean, also between beats.
    facts[1] = structs.replace(FACTS[0], index=1)
    judged[1] = judgement(1, State.DONE)
    line = table(run_of_eight_shards, facts, judged).splitlines()[6]
    assert line == "350 of 2,000 posts done (17 %), 35 posts/min, about 47 min to go, done at 12:47"


def test_the_message_of_a_running_shard_is_shown_only_if_it_is_stalled(
    run_of_eight_shards: Run,
) -> None:
    judged = [
        judgement(0, State.RUNNING, message="it runs"),
        structs.replace(judgement(1, State.RUNNING, message="it stands still"), stalled=True),
    ]
    lines = table(run_of_eight_shards, FACTS[2:4], judged).splitlines()
    assert lines[-1] == "  shard 1: it stands still"
    assert not any("it runs" in line for line in lines)


def test_the_document_has_the_keys_that_programs_rely_on(run_of_eight_shards: Run) -> None:
    document = status_table.document(
        RunStatus(run=run_of_eight_shards, observation=observed(FACTS), judgements=tuple(JUDGED))
    )
    assert {key: value for key, value in document.items() if key != "shards"} == {
        "run_id": "20240601T120000-valence-0123abcd",
        "run_dir": str(run_of_eight_shards.folder),
        "sample": None,
        "state": "running",
        "posts": 2000,
        "posts_done": 600,
        "copied": 0,
        "awaits_database": False,
        "awaits_engine": False,
        "labeled": None,
        "unlabelable": {},
        "usage": None,
        "amendments": [],
        "caretaker": None,
        "observed_at": "2026-11-24T12:00:00+00:00",
        "eta_seconds": 900,
        "errors": {"requests": {}, "posts": {}, "tasks": {}},
        "quota": None,
        "tasks": [
            {
                "shard": 2,
                "node": None,
                "posts": 250,
                "posts_done": 100,
                "rate": None,
                "heartbeat_age_s": None,
                "rss_mb": None,
            }
        ],
    }
    assert document["shards"][3] == {
        "index": 3,
        "state": "failed",
        "cause": "timeout",
        "posts": 250,
        "posts_done": 0,
        "attempts": 2,
        "array_job_id": 4002,
        "array_task_index": 3,
        "message": "task 4001_3 ended as TIMEOUT",
        "stalled": False,
    }
    assert document["shards"][7] == {
        "index": 7,
        "state": "planned",
        "cause": None,
        "posts": 250,
        "posts_done": 0,
        "attempts": 0,
        "array_job_id": None,
        "array_task_index": None,
        "message": "not submitted yet",
        "stalled": False,
    }
    assert [shard["posts_done"] for shard in document["shards"]] == [250, 250, 100, *[0] * 5]


def test_every_state_has_its_color() -> None:
    assert set(status_table.TONES) == set(State)
    assert set(status_table.RUN_TONES) == set(RunState)


PRECEDENCE = [
    (State.RUNNING, RunState.RUNNING),
    (State.QUEUED, RunState.RUNNING),
    (State.UNKNOWN, RunState.UNKNOWN),
    (State.ENDING, RunState.ENDING),
    (State.FAILED, RunState.FAILED),
    (State.PLANNED, RunState.PLANNED),
    (State.BLOCKED, RunState.BLOCKED),
    (State.DONE, RunState.COMPLETE),
]


def test_a_run_has_the_first_state_in_this_order_that_a_shard_has() -> None:
    assert {state for state, _ in PRECEDENCE} == set(State)
    for one, other in itertools.combinations_with_replacement(range(len(PRECEDENCE)), 2):
        judged = [judgement(0, PRECEDENCE[other][0]), judgement(1, PRECEDENCE[one][0])]
        assert run_state(judged) is PRECEDENCE[one][1]
        assert run_state(judged[::-1]) is PRECEDENCE[one][1]


@pytest.mark.parametrize("states", [*itertools.combinations_with_replacement(State, 2)])
def test_the_exit_code_says_whether_a_run_is_complete_under_way_or_neither(
    states: tuple[State, ...],
) -> None:
    judged = [judgement(index, state) for index, state in enumerate(states)]
    under_way = {State.QUEUED, State.RUNNING, State.UNKNOWN, State.ENDING} & set(states)
    expected = 3 if under_way else 0 if set(states) == {State.DONE} else 1
    assert EXIT_CODE[run_state(judged)] == expected


def test_every_state_of_a_run_has_its_next_command(run_of_eight_shards: Run) -> None:
    by_run_state = {whole: shard for shard, whole in PRECEDENCE}
    steps = {
        state: next_command(status_of(run_of_eight_shards, judgement(0, by_run_state[state])))
        for state in RunState
    }
    assert {state: (step.verb, step.options) for state, step in steps.items()} == {
        RunState.COMPLETE: ("gather", ()),
        RunState.RUNNING: ("supervise", ()),
        RunState.UNKNOWN: ("status", ()),
        RunState.ENDING: ("supervise", ()),
        RunState.BLOCKED: ("resubmit", ("--force",)),
        RunState.FAILED: ("resubmit", ()),
        RunState.PLANNED: ("supervise", ()),
    }


def test_a_blocked_shard_of_a_run_under_way_is_named_with_its_own_command(
    run_of_eight_shards: Run,
) -> None:
    judged = [
        judgement(0, State.RUNNING),
        judgement(3, State.BLOCKED, Cause.CRASHED),
        structs.replace(judgement(4, State.BLOCKED), rule=3),
    ]
    run = command("supervise", run_of_eight_shards).partition(" supervise ")[2]
    assert describe_next_step(status_of(run_of_eight_shards, *judged), is_gathered=False) == (
        "shard 3 is blocked and needs you. To retry it after fixing the cause: "
        f"hpc resubmit --force --indices 3 {run}\n"
        "shard 4 is blocked and needs you: hpc status says why\n"
        f"next: hpc supervise {run}"
    )
    alone = describe_next_step(status_of(run_of_eight_shards, judged[1]), is_gathered=False)
    assert alone == f"next: hpc resubmit --force {run}"


def test_a_complete_run_needs_nothing_more_once_it_is_gathered(run_of_eight_shards: Run) -> None:
    status = status_of(run_of_eight_shards, judgement(0, State.DONE))
    assert next_step(status, is_gathered=False) == NextStep(verb="gather")
    assert next_step(status, is_gathered=True) == NextStep(verb=None)


def test_tasks_that_slurm_holds_are_cancelled_before_a_resubmit(run_of_eight_shards: Run) -> None:
    held = structs.replace(judgement(0, State.BLOCKED), rule=3)
    cancelled = structs.replace(judgement(1, State.BLOCKED, Cause.CANCELLED), rule=8)
    done = judgement(2, State.DONE)
    assert next_command(status_of(run_of_eight_shards, held, done)) == NextStep(verb="cancel")
    assert next_command(status_of(run_of_eight_shards, held, cancelled)) == NextStep(
        verb="resubmit", options=("--force",)
    )


def test_similar_troubles_of_running_tasks_are_shown_once(run_of_eight_shards: Run) -> None:
    def beat(trouble: str) -> Heartbeat:
        return Heartbeat(written_at=NOW, progress_at=NOW, rows=0, posts=250,
                         rate_per_minute=0.0, last_error=trouble, node="n1")  # fmt: skip

    said = ["the server is starting, 42 s by now", "", "the server is starting, 7 s by now", "503"]
    facts = [structs.replace(FACTS[i], heartbeat=beat(trouble)) for i, trouble in enumerate(said)]
    states = [State.RUNNING, State.RUNNING, State.RUNNING, State.DONE]
    judged = [judgement(i, state) for i, state in enumerate(states)]
    assert table(run_of_eight_shards, facts, judged).splitlines()[-2:] == [
        "",
        "  shard 0, running: the server is starting, 42 s by now (and 1 more shard)",
    ]
