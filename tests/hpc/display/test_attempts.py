"""What `logs` prints about attempts on Slurm; about local ones, see `tests/hpc/verbs/test_logs`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from hpc.display.run.attempts import AttemptReport
from hpc.display.terminal.render import plain_text
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.executor import SlurmExecutor
from hpc.run import run_folder
from hpc.run.model.arrays import ResourceRequest
from hpc.run.model.attempts import Attempt, Phase, TaskRecord
from hpc.run.model.shards import Judgement, Observation, ShardFacts, State
from hpc.run.run_state import RunStatus
from pipeline import files
from pipeline.errors import Cause
from pipeline.run_files import last_words, manifest
from pipeline.run_files.last_words import LastWords
from pipeline.run_files.output import OutputCheck
from tests.pipeline import run_builders

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STARTED = NOW - timedelta(minutes=5)


def test_every_attempt_shows_slurms_state_the_last_words_and_the_log(tmp_path: Path) -> None:
    cluster = {**run_builders.LOCAL_CLUSTER, "executor": "slurm"}
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(2), cluster=cluster)
    run = run_folder.load(folder)
    logs = [manifest.log_path(folder, number) for number in (1, 2)]
    for log in logs:
        log.mkdir(parents=True)
    killed_log = logs[1] / "4002_0_0_log.out"
    killed_log.write_text("shard 0: 2 posts\nsrun: error: n1: task 0: Killed\nsrun: more\n")
    server_log = manifest.server_log_path(folder, 1, 0)
    server_log.touch()
    words = LastWords(
        cause=Cause.CRASHED, message="this was scripted", node="n1", written_at="",
        traceback="Traceback:\n  raise\nRuntimeError: this was scripted\n",
    )  # fmt: skip
    files.write_json(last_words.path_of(folder, 1, 0), words.to_json())
    words = msgspec.structs.replace(words, traceback="")  # as a look at the run returns it
    ended = TaskRecord(
        phase=Phase.ENDED, slurm_state="FAILED", exit_code="1:0", node="n1", started_at=STARTED,
        elapsed_s=61.0, max_rss_mb=1234.0,
    )  # fmt: skip
    killed = TaskRecord(
        phase=Phase.ENDED, slurm_state="FAILED", exit_code="9:0", node="n1", started_at=STARTED,
        elapsed_s=2.0, max_rss_mb=3.0,
    )  # fmt: skip
    waiting = TaskRecord(phase=Phase.WAITING, slurm_state="PENDING", reason="JobArrayTaskLimit")
    canceled = TaskRecord(
        phase=Phase.ENDED, slurm_state="CANCELLED", exit_code="0:0", started_at=STARTED,
        elapsed_s=0,
    )  # fmt: skip
    made = [
        Attempt(
            number=number, array_job_id=4000 + number, array_task_index=0, submitted_at=NOW,
            record=record, words=spoken,
        )
        for number, record, spoken in ((1, ended, words), (2, killed, None), (5, waiting, None),
                                      (6, canceled, None))
    ]  # fmt: skip
    shard = ShardFacts(index=0, posts=2, output=OutputCheck(), rows=0, attempts=tuple(made))
    status = RunStatus(
        run=run,
        observation=Observation(observed_at=NOW, shards=(shard,), answered=True, last_answer=NOW),
        judgements=(
            Judgement(index=0, state=State.QUEUED, rule=5, cause=None, message="it waits"),
        ),
    )
    report = AttemptReport(status=status, executor=SlurmExecutor(Slurm()), most_lines=2)
    assert plain_text(report.describe([0])).splitlines() == [
        "shard 0: queued: it waits",
        "",
        "attempt 1 (submission 1): task 4001_0 on n1, submitted 2026-11-24 12:00:00 UTC, ran 61 s",
        "  Slurm: FAILED, exit code 1:0, MaxRSS 1.21 GiB",
        "  crashed: this was scripted",
        "  |   raise",
        "  | RuntimeError: this was scripted",
        f"  log: {logs[0]}/4001_0_0_log.out",
        f"  its server's log: {server_log}",
        "",
        "attempt 2 (submission 2): task 4002_0 on n1, submitted 2026-11-24 12:00:00 UTC, ran 2 s",
        "  Slurm: FAILED, killed by SIGKILL, exit code 9:0, too short to measure its memory",
        f"  the end of {killed_log}:",
        "  | srun: error: n1: task 0: Killed",
        "  | srun: more",
        "",
        "attempt 3 (submission 5): task 4005_0, submitted 2026-11-24 12:00:00 UTC",
        "  Slurm: PENDING, reason JobArrayTaskLimit",
        "  no log yet: the task has not started",
        "",
        "attempt 4 (submission 6): task 4006_0, submitted 2026-11-24 12:00:00 UTC",
        "  Slurm: CANCELLED, exit code 0:0",
        "  no log: the task never started",
    ]


@pytest.mark.parametrize(
    ("peak_mb", "elapsed_s", "requested_gb", "memory"),
    [
        (8191.0, 600, 8.0, "8 GiB requested, 8 GiB measured by Slurm's accounting (MaxRSS), which "
         "samples it and may miss the peak"),
        (9216.0, 600, 8.0, "8 GiB requested, 9 GiB measured by Slurm's accounting (MaxRSS)"),
        (0.0, 2, 8.0, "8 GiB requested, what it used was not measured, because it ran for less "
         "than 60 s"),
        (None, 600, None, "what it used was not measured"),
    ],
)  # fmt: skip
def test_a_task_that_ran_out_of_memory_shows_what_it_requested_and_used(
    tmp_path: Path,
    peak_mb: float | None,
    elapsed_s: int,
    requested_gb: float | None,
    memory: str,
) -> None:
    cluster = {**run_builders.LOCAL_CLUSTER, "executor": "slurm"}
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(2), cluster=cluster)
    killed = TaskRecord(
        phase=Phase.ENDED, slurm_state="OUT_OF_MEMORY", exit_code="0:125", node="n1",
        cause=Cause.OUT_OF_MEMORY, started_at=STARTED, elapsed_s=elapsed_s, max_rss_mb=peak_mb,
    )  # fmt: skip
    attempt = Attempt(
        number=1, array_job_id=4001, array_task_index=0, submitted_at=NOW, record=killed,
        request=ResourceRequest(mem_gb=requested_gb),
    )  # fmt: skip
    shard = ShardFacts(index=0, posts=2, output=OutputCheck(), rows=0, attempts=(attempt,))
    status = RunStatus(
        run=run_folder.load(folder),
        observation=Observation(observed_at=NOW, shards=(shard,), answered=True, last_answer=NOW),
        judgements=(Judgement(index=0, state=State.FAILED, rule=9, cause=Cause.OUT_OF_MEMORY),),
    )
    report = AttemptReport(status=status, executor=SlurmExecutor(Slurm()), most_lines=2)
    shown = plain_text(report.describe([0])).splitlines()
    assert shown[3:5] == ["  Slurm: OUT_OF_MEMORY, exit code 0:125", f"  memory: {memory}"]
    (logged,) = report.attempts(0)
    assert logged.mem_gb == requested_gb
    assert logged.max_rss_mb == (peak_mb or None)
