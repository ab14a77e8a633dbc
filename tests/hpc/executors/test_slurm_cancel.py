"""What a real cluster does too rarely: jobs that will not end, refusals, and in which order."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

from hpc.executors.base import CaretakerRole, ExecutorError
from hpc.executors.slurm import cancel as cancellation
from hpc.executors.slurm.answers.parse import parse_squeue_names
from hpc.executors.slurm.client import Prefix, QueryResult, Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.executors.slurm.executor import CLUSTER, SlurmExecutor
from hpc.locks import run_lock
from hpc.naming.job_names import new_prefix
from hpc.run import run_folder, submissions
from hpc.run.array_indices import TaskId
from hpc.run.model.arrays import ArrayPlan
from hpc.run.model.attempts import Phase, TaskRecord
from hpc.run.model.run import Run
from pipeline.model import JsonObject
from tests.hpc.cli_bench import LOCAL, Bench
from tests.pipeline import run_builders

PREFIX = new_prefix(run_builders.RUN_ID, "")


class Queue(Slurm):
    """Answers of squeue one after the other, the last one for ever; notes what is cancelled."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self._answers = list(answers)
        self.cancelled: list[tuple[int, str]] = []
        self.refuses = 0

    def jobs(self, prefix: Prefix) -> tuple[tuple[str, TaskId, TaskRecord], ...]:
        self.now = self._answers.pop(0) if self._answers[1:] else self._answers[0]
        rows = parse_squeue_names(self.now.replace("@", PREFIX))
        return tuple(row for row in rows if row[0].startswith(prefix))

    def cancel(self, jobs: Sequence[int]) -> None:
        (job,) = jobs
        self.cancelled.append((job, self.now))
        if self.refuses:
            self.refuses -= 1
            raise SlurmError(["scancel", str(job)], "exit code 1", "", "Access denied\n")


@pytest.fixture
def run_of_four_shards(tmp_path: Path) -> Run:
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(4), shards=4)
    return run_folder.load(folder)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("hpc.executors.slurm.cancel.PAUSE_S", 0.001)
    yield


class Hidden(Queue):
    """A squeue that fails or shows nothing, beside an accounting that changes from call to call."""

    def __init__(self, *states: Mapping[int, Phase], squeue_fails: bool) -> None:
        super().__init__("")
        self._states = list(states)
        self._squeue_fails = squeue_fails

    def jobs(self, prefix: Prefix) -> tuple[tuple[str, TaskId, TaskRecord], ...]:
        if self._squeue_fails:
            raise SlurmError(["squeue"], "exit code 1", "", "unknown option -a\n")
        return super().jobs(prefix)

    def accounting(self, jobs: Sequence[int], since: datetime) -> QueryResult:
        states = self._states.pop(0) if self._states[1:] else self._states[0]
        records = {job: states[job] for job in jobs if job in states}
        return QueryResult(
            records=tuple(
                (TaskId(job, (0,)), TaskRecord(phase=phase, slurm_state=phase))
                for job, phase in records.items()
            )
        )


ARRAY = "4711_[2-3%1]|PENDING|N/A||Resources|@0001\n4711_1|RUNNING|N/A|n1|None|@0001\n"
CARETAKER = "4712|RUNNING|N/A|n1|None|@caretaker\n"
UNDERSTUDY = "4713|PENDING|N/A||Dependency|@understudy\n"
COMPLETING = "4711_1|COMPLETING|N/A|n1|None|@0001\n"


def nothing(line: str) -> None:
    raise AssertionError(f"said: {line}")


def test_the_caretaker_ends_before_anything_else_is_canceled(run_of_four_shards: Run) -> None:
    completing = CARETAKER.replace("RUNNING", "COMPLETING")
    queue = Queue(ARRAY + CARETAKER, ARRAY + completing, ARRAY, ARRAY, "")
    ended = cancellation.cancel_jobs(run_of_four_shards, queue, nothing)
    assert queue.cancelled == [(4712, ARRAY + CARETAKER), (4711, ARRAY)]
    assert (ended.jobs, ended.arrays, ended.caretakers) == (
        [4711, 4712],
        [4711],
        {4712: CaretakerRole.CARETAKER},
    )
    assert (ended.running(), ended.pending(), ended.left) == (1, 2, {})


def test_jobs_submitted_meanwhile_are_canceled_too(run_of_four_shards: Run) -> None:
    later = "4720_[0-3]|PENDING|N/A||BeginTime|@0002\n"
    queue = Queue("", ARRAY, COMPLETING + later, "")
    ended = cancellation.cancel_jobs(run_of_four_shards, queue, nothing)
    assert [job for job, _ in queue.cancelled] == [4711, 4720]
    assert (ended.arrays, ended.running(), ended.pending()) == ([4711, 4720], 1, 6)


def test_jobs_of_other_runs_and_ended_ones_are_left_alone(run_of_four_shards: Run) -> None:
    others = (
        "1_0|RUNNING|N/A|n1|None|hpc-20240601T120000-valence-0123abce-0001\n"
        f"2|RUNNING|N/A|n1|None|x{PREFIX}0001\n"
        "4711_0|CANCELLED|2026-11-24T12:00:00|n1|None|@0001\n"
    )
    queue = Queue(others)
    assert (
        cancellation.cancel_jobs(run_of_four_shards, queue, nothing) == cancellation.CanceledJobs()
    )
    assert queue.cancelled == []


def test_a_completing_task_is_not_signaled_again(
    run_of_four_shards: Run,
) -> None:
    queue = Queue("", ARRAY, COMPLETING, COMPLETING, "")
    cancellation.cancel_jobs(run_of_four_shards, queue, nothing)
    assert queue.cancelled == [(4711, ARRAY)]


def test_tasks_that_do_not_end_in_time_are_listed(run_of_four_shards: Run) -> None:
    ended = cancellation.cancel_jobs(
        run_of_four_shards, Queue("", ARRAY, COMPLETING), nothing, patience_s=0.05
    )
    assert [(task, record.slurm_state, record.node) for task, record in ended.left.items()] == [
        ((4711, 1), "COMPLETING", "n1")
    ]


def test_a_caretaker_that_does_not_end_does_not_protect_other_jobs(run_of_four_shards: Run) -> None:
    ended = cancellation.cancel_jobs(
        run_of_four_shards, queue := Queue(*[ARRAY + CARETAKER] * 3), nothing, patience_s=0.01
    )
    assert {job for job, _ in queue.cancelled} == {4711, 4712}
    assert (4712, None) in ended.left


def test_cancel_fails_and_names_the_tasks_that_have_not_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster: JsonObject = {**LOCAL, "executor": "slurm"}
    folder, _ = run_builders.make_run(
        bench.folder, run_builders.posts(4), shards=4, cluster=cluster
    )
    queue = Queue("", ARRAY + CARETAKER + UNDERSTUDY, COMPLETING)
    executor = SlurmExecutor(queue, cancel_patience_s=0.05)
    monkeypatch.setattr("hpc.api.cancellation.executor_of", lambda run: executor)
    failed = bench.hpc("cancel")
    assert (failed.returncode, failed.stderr) == (1, "")
    assert failed.stdout == (
        "canceled the caretaker (job 4712)\n"
        "canceled the caretaker's understudy (job 4713)\n"
        "canceled array job 4711: 1 running and 2 pending tasks\n"
        "task 4711_1 is still COMPLETING on n1; cancel again later\n"
        "kept: the outputs of 0 of 4 shards (0 posts)\n"
        f"to resume: hpc supervise runs/{folder.name}\n"
    )
    document = json.loads(bench.hpc("cancel", "--json").stdout)
    assert document == {
        "run_id": run_builders.RUN_ID, "cancelled_jobs": [4711], "unreached_jobs": [],
        "shards_done": 0, "posts_kept": 0,
    }  # fmt: skip


def test_scancel_may_fail_once_but_not_twice(run_of_four_shards: Run) -> None:
    """The first may be of a job that has just ended by itself."""
    queue = Queue("", ARRAY, "")
    queue.refuses = 1
    assert cancellation.cancel_jobs(run_of_four_shards, queue, nothing).left == {}
    queue = Queue("", CARETAKER + ARRAY)
    queue.refuses = 2
    ended = cancellation.cancel_jobs(run_of_four_shards, queue, nothing, patience_s=0.05)
    assert ended.unreached == {}
    queue = Queue("", ARRAY)
    queue.refuses = 9
    ended = cancellation.cancel_jobs(run_of_four_shards, queue, nothing)
    assert len(queue.cancelled) == 2
    assert (ended.unreached, ended.is_complete) == ({4711: "Access denied"}, False)
    assert any(
        "scancel 4711" in line for line in cancellation.describe_canceled(run_of_four_shards, ended)
    )


ENDED = {4711: Phase.ENDED, 4712: Phase.ENDED}
ALIVE = {4711: Phase.ENDED, 4712: Phase.ACTIVE}


def record_arrays(run: Run, *jobs: int) -> None:
    now = datetime.now(UTC)
    plans = [ArrayPlan(offset=0, indices=(0,), throttle=1, parallel_tasks=1) for _ in jobs]
    for intent, job in zip(submissions.plan_intents(run, plans, now), jobs, strict=True):
        submissions.write_submission(
            run, structs.replace(intent, array_job_id=job, released_at=now)
        )


@pytest.mark.parametrize(
    ("squeue_fails", "states", "refuses", "canceled", "unreached"),
    [
        pytest.param(True, [ALIVE, ENDED], 0, (4712,), set(), id="by-record"),
        pytest.param(True, [{}], 0, (4711, 4712), {4711, 4712}, id="no-end-is-seen"),
        pytest.param(True, [ALIVE, ENDED], 9, (), {4712}, id="refused"),
        pytest.param(False, [ALIVE], 0, (4712,), set(), id="hidden"),
        pytest.param(False, [ALIVE], 9, (), {4712}, id="hidden-and-refused"),
        pytest.param(False, [{}], 0, (), set(), id="long-over"),
    ],
)
def test_arrays_that_squeue_does_not_show_are_canceled_by_the_ids_on_record(
    run_of_four_shards: Run,
    squeue_fails: bool,
    states: list[Mapping[int, Phase]],
    refuses: int,
    canceled: tuple[int, ...],
    unreached: set[int],
) -> None:
    record_arrays(run_of_four_shards, 4711, 4712)
    queue = Hidden(*states, squeue_fails=squeue_fails)
    queue.now = ""
    queue.refuses = refuses
    ended = cancellation.cancel_jobs(run_of_four_shards, queue, nothing, patience_s=0.05)
    assert (ended.by_record, ended.unreached.keys()) == (canceled, unreached)
    # A squeue that fails may also hide a caretaker.
    assert ended.is_complete is not (squeue_fails or bool(unreached))
    lines = cancellation.describe_canceled(run_of_four_shards, ended)
    assert all(any(str(job) in line for line in lines) for job in {*canceled, *unreached})


def test_a_copy_without_jobs_of_its_own_names_the_run_whose_jobs_may_be_alive(
    run_of_four_shards: Run,
) -> None:
    copy = replace(run_of_four_shards, original=Path("/studies/the original"))
    (line,) = cancellation.describe_canceled(copy, cancellation.CanceledJobs())
    assert "hpc cancel '/studies/the original'" in line


class Unreachable(Hidden):
    """Slurm, while the controller is down."""

    def local_name(self) -> str:
        raise SlurmError(["scontrol", "show", "config"], "exit code 1", "", "no controller\n")


def test_where_nobody_knows_which_cluster_this_is_the_jobs_are_listed_and_not_canceled(
    run_of_four_shards: Run,
) -> None:
    """The ids may be those of other jobs here."""
    record_arrays(run_of_four_shards, 4711, 4712)
    (run_of_four_shards.folder / CLUSTER).write_text("quest")
    queue = Unreachable(ALIVE, squeue_fails=True)
    with pytest.raises(ExecutorError, match="quest: scancel 4711 4712"):
        SlurmExecutor(queue).cancel(run_of_four_shards, nothing)
    assert queue.cancelled == []


def test_without_squeue_and_records_cancel_fails(run_of_four_shards: Run) -> None:
    with pytest.raises(SlurmError):
        cancellation.cancel_jobs(run_of_four_shards, Hidden({}, squeue_fails=True), nothing)


def test_without_the_lock_cancel_changes_no_records(run_of_four_shards: Run) -> None:
    plan = ArrayPlan(offset=0, indices=(0, 1, 2, 3), throttle=2, parallel_tasks=2)
    (intent,) = submissions.plan_intents(run_of_four_shards, (plan,), datetime.now(UTC))
    submissions.write_submission(run_of_four_shards, intent)
    lines: list[str] = []
    with run_lock.lock_run(run_of_four_shards):
        queue = Queue("", ARRAY, "", ARRAY, "")
        ended = cancellation.cancel_jobs(run_of_four_shards, queue, lines.append)
    assert [job for job, _ in queue.cancelled] == [4711, 4711]
    assert submissions.read_submissions(run_of_four_shards) == (intent,)
    assert ended.withdrawn == ()
    (line,) = lines
    assert line.endswith(
        "\nits jobs are canceled anyway; a supervise there may submit new ones: stop it"
    )
    assert cancellation.cancel_jobs(run_of_four_shards, Queue(""), nothing).withdrawn == (
        0,
        1,
        2,
        3,
    )
    assert submissions.read_submissions(run_of_four_shards) == ()


def test_a_canceled_array_that_was_never_released_counts_as_submitted(
    run_of_four_shards: Run,
) -> None:
    plan = ArrayPlan(offset=0, indices=(1, 2, 3), throttle=1, parallel_tasks=1)
    (intent,) = submissions.plan_intents(run_of_four_shards, (plan,), datetime.now(UTC))
    submissions.write_submission(run_of_four_shards, intent)
    assert (
        cancellation.cancel_jobs(run_of_four_shards, Queue("", ARRAY, ""), nothing).withdrawn == ()
    )
    (submission,) = submissions.read_submissions(run_of_four_shards)
    assert (submission.array_job_id, submission.plan) == (4711, plan)
    assert submission.released_at is not None
