"""One look at a run, and what is read for it."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from hpc.display.next_step import describe_next_step
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.executor import SlurmExecutor
from hpc.locks import run_lock
from hpc.reconcile.look import look
from hpc.reconcile.resubmit import Request, preview, resubmit
from hpc.run import run_folder
from hpc.run.model.arrays import ArrayPlan, ResourceRequest, Submission
from hpc.run.model.run import Run
from hpc.run.model.shards import CaretakerJob, State
from hpc.run.submissions import write_submission
from hpc.traces.file_cache import CacheFile
from pipeline.errors import Cause
from pipeline.run_files import array_orders, heartbeat, last_words
from pipeline.run_files.heartbeat import HeartbeatWriter
from pipeline.run_files.last_words import LastWordsWriter
from pipeline.run_files.manifest import log_path, output_path, work_path
from tests.hpc.file_reads import counted_reads
from tests.hpc.in_process import call_verb
from tests.pipeline import run_builders

LONG_AGO = datetime(2026, 11, 25, tzinfo=UTC)
EVERYTHING = Request(
    indices=None, override=ResourceRequest(time_min=0), force=False, caretaker=False, dry_run=False
)
# The tasks of both arrays: one done, one failed twice, one running.
SACCT = """4711_0|COMPLETED|0:0|2026-11-25T00:00:00|2026-11-25T00:00:00|2026-11-25T00:01:00|60||n1|
4711_1|FAILED|1:0|2026-11-25T00:00:00|2026-11-25T00:00:00|2026-11-25T00:01:00|60||n1|
4711_2|RUNNING|0:0|2026-11-25T00:00:00|2026-11-25T00:00:00|Unknown|60||n1|
4712_1|FAILED|1:0|2026-11-25T00:00:00|2026-11-25T00:00:00|2026-11-25T00:01:00|60||n1|"""
PROGRAMS = {
    "squeue": "true",
    "sacct": f"cat <<END\n{SACCT}\nEND",
    "sbatch": "echo 4713",
    "scontrol": "true",
    "sinfo": "echo 'normal*|4:00:00|4000|n1'; echo 'normal*|4:00:00|4000|n2'",
}


@pytest.fixture
def twice_submitted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Three shards in two submissions: the second one is another attempt of shard 1."""
    cluster = {**run_builders.LOCAL_CLUSTER, "executor": "slurm", "grace_seconds": 3600.0}
    posts = run_builders.posts(6)
    folder, manifest = run_builders.make_run(tmp_path, posts, shards=3, cluster=cluster)
    run_builders.publish_shard(folder, manifest, 0)
    run = run_folder.load(folder)
    for number, indices in ((1, (0, 1, 2)), (2, (1,))):
        plan = ArrayPlan(offset=0, indices=indices, throttle=3, parallel_tasks=3)
        write_submission(
            run,
            Submission(
                number=number,
                job_name=f"job {number}",
                plan=plan,
                intended_at=LONG_AGO,
                array_job_id=4710 + number,
                released_at=LONG_AGO + timedelta(minutes=number),
            ),
        )
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, lines in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{lines}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return run


def slurm() -> SlurmExecutor:
    return SlurmExecutor(Slurm())


def beat(run: Run, attempt: int, shard: int) -> None:
    """A heartbeat, as a task that begins writes it."""
    work = work_path(run.folder, shard)
    work.mkdir(parents=True, exist_ok=True)
    path = heartbeat.path_of(work, attempt)
    HeartbeatWriter(path, posts=2, rows=1, node="n1")


def speak(run: Run, attempt: int, shard: int, message: str) -> None:
    """The last words of a task that failed."""
    LastWordsWriter(last_words.path_of(run.folder, attempt, shard), "n1").write(
        RuntimeError(message)
    )


def test_a_look_opens_each_file_of_the_run_once(twice_submitted_run: Run) -> None:
    beat(twice_submitted_run, 1, 2)
    speak(twice_submitted_run, 2, 1, "no luck")
    with counted_reads(twice_submitted_run.folder) as reads:
        status = look(twice_submitted_run, slurm())
    assert [shard.state for shard in status.judgements] == [
        State.DONE, State.FAILED, State.RUNNING,
    ]  # fmt: skip
    read = {
        "submissions/0001.json",
        "submissions/0002.json",
        "work/00002/0001.heartbeat.json",
        "logs/0002/00001.last-words.json",
    }
    assert {name: reads[name] for name in read} == dict.fromkeys(read, 1)
    assert {name: count for name, count in reads.items() if count > 1} == {}


def test_the_next_look_opens_only_the_files_of_tasks_that_have_changed(
    twice_submitted_run: Run,
) -> None:
    run = twice_submitted_run
    beat(run, 1, 2)
    speak(run, 1, 1, "no luck")
    speak(run, 2, 1, "no luck again")
    before = look(run, slurm())
    with counted_reads(run.folder) as reads:
        assert look(run, slurm()).observation.shards == before.observation.shards
    assert {name for name in reads if name.startswith(("work/", "logs/"))} == set()
    beat(run, 1, 2)
    speak(run, 2, 1, "another end")
    with counted_reads(run.folder) as reads:
        after = look(run, slurm())
    assert {
        name: count for name, count in reads.items() if name.startswith(("work/", "logs/"))
    } == {
        "work/00002/0001.heartbeat.json": 1,
        "logs/0002/00001.last-words.json": 1,
    }
    assert after.judgements[1].message == "another end"


@pytest.mark.parametrize("name", [CacheFile.LAST_WORDS, CacheFile.HEARTBEATS])
@pytest.mark.parametrize("garbage", [b"", b"{", b"[1]", b'{"1/1": 3}', b"\xff", b"[" * 9_000])
def test_a_damaged_cache_of_files_costs_only_time(
    twice_submitted_run: Run, name: str, garbage: bytes
) -> None:
    run = twice_submitted_run
    beat(run, 1, 2)
    speak(run, 2, 1, "no luck")
    before = look(run, slurm())
    (run.folder / name).write_bytes(garbage)
    assert look(run, slurm()).observation.shards == before.observation.shards


def test_words_that_are_gone_are_not_remembered(twice_submitted_run: Run) -> None:
    """A requeued task deletes the words of the process before it."""
    run = twice_submitted_run
    speak(run, 2, 1, "no luck")
    assert look(run, slurm()).judgements[1].message == "no luck"
    last_words.path_of(run.folder, 2, 1).unlink()
    assert look(run, slurm()).judgements[1].message != "no luck"


def test_a_run_with_a_caretaker_needs_no_other_command(twice_submitted_run: Run) -> None:
    def last_line() -> str:
        words = (twice_submitted_run.folder, "--caretaker")
        folder = twice_submitted_run.folder.parents[1]
        done = call_verb("resubmit", words, folder=folder, env=os.environ, modules=folder)
        return done.stdout.splitlines()[-1]

    advice = (
        "next: nothing; the caretaker continues when the arrays have ended. To look: "
        f"hpc status runs/{twice_submitted_run.run_id}"
    )
    assert last_line() == advice, "it submits a shard again"
    assert last_line() == advice, "no shard has failed"


@pytest.mark.parametrize(
    ("rows", "caretaker"),
    [
        ("4720|PENDING|N/A||Dependency", CaretakerJob(job=4720, is_running=False)),
        ("4720|RUNNING|N/A|n1|None\n4725|PENDING|N/A||Dependency",
         CaretakerJob(job=4720, is_running=True)),
        ("4720|COMPLETED|2026-11-25T00:01:00|n1|None", None),
        ("4713_[0-2]|PENDING|N/A||None", None),  # an array that no record names
        ("4712_1|RUNNING|N/A|n1|None", None),
    ],
)  # fmt: skip
def test_a_look_finds_the_caretaker_by_the_call_that_it_makes_anyway(
    twice_submitted_run: Run, tmp_path: Path, rows: str, caretaker: CaretakerJob | None
) -> None:
    answer = f"case $* in *caretaker*) printf '%s\\n' '{rows}';; esac"
    (tmp_path / "programs" / "squeue").write_text(f"#!/bin/sh\n{answer}\n")
    status = look(twice_submitted_run, slurm())
    assert status.observation.caretaker == caretaker
    advice = describe_next_step(status, is_gathered=False)
    assert (
        (f"the caretaker (job {caretaker.job})" in advice) if caretaker else "next: hpc" in advice
    )


def test_resubmitting_a_shard_reads_each_submission_once(twice_submitted_run: Run) -> None:
    with (
        run_lock.lock_run(twice_submitted_run) as lock,
        counted_reads(twice_submitted_run.folder / "submissions") as reads,
    ):
        outcome = resubmit(twice_submitted_run, slurm(), EVERYTHING, lock, lambda line: None, never)
    assert [sent.array_job_id for sent in outcome.sent] == [4713]
    assert reads == {"0001.json": 1, "0002.json": 1}


def never(seconds: float, why: str) -> None:
    """Fail: nothing has to be waited for."""
    raise AssertionError(f"{why}: {seconds} s")


def test_an_interrupted_submission_is_finished_before_anything_is_resubmitted(
    twice_submitted_run: Run,
) -> None:
    plan = ArrayPlan(offset=0, indices=(1,), throttle=1, parallel_tasks=1)
    intent = Submission(number=3, job_name="job 3", plan=plan, intended_at=LONG_AGO)
    write_submission(twice_submitted_run, intent)
    lines: list[str] = []
    with run_lock.lock_run(twice_submitted_run) as lock:
        outcome = resubmit(twice_submitted_run, slurm(), EVERYTHING, lock, lines.append, never)
    assert outcome.sent == ()
    record = json.loads((twice_submitted_run.folder / "submissions" / "0003.json").read_text())
    assert (record["array_job_id"], record["released_at"] is None) == (4713, False)
    assert structs.replace(intent, array_job_id=4713).plan == plan


def test_a_dry_run_writes_nothing(twice_submitted_run: Run) -> None:
    before = sorted((twice_submitted_run.folder / "submissions").iterdir())
    lines: list[str] = []
    request = replace(EVERYTHING, dry_run=True)
    outcome = preview(twice_submitted_run, slurm(), request, lines.append)
    assert (outcome.shards, outcome.sent, len(lines)) == ((1,), (), 1)
    assert sorted((twice_submitted_run.folder / "submissions").iterdir()) == before


RETURNED = f"a line of setup\n10 posts\n{array_orders.END_LINE}\n"


@pytest.mark.parametrize(
    ("left", "cause"),
    [
        pytest.param({"4711_0_0_log.out": RETURNED}, Cause.NO_OUTPUT, id="returned"),
        pytest.param({"4711_0_0_log.out": "a line of setup"}, Cause.NODE, id="ended-early"),
        pytest.param({"4711_0_0_log.out": ""}, Cause.NODE, id="ended-at-once"),
        pytest.param({}, Cause.NO_OUTPUT, id="logs-deleted"),
        pytest.param(
            {"4711_0_submitted.pkl": "", "4711_0_0_result.pkl": "", "4711_0_0_log.out": ""},
            Cause.NO_OUTPUT,
            id="earlier-version-returned",
        ),
        pytest.param(
            {"4711_0_submitted.pkl": "", "4711_0_0_log.out": ""},
            Cause.NODE,
            id="earlier-version-ended-early",
        ),
    ],
)
def test_its_log_shows_whether_a_task_without_output_had_begun(
    twice_submitted_run: Run, left: dict[str, str], cause: Cause
) -> None:
    run = twice_submitted_run
    output_path(run.folder, 0).unlink()  # as a person does, to have the shard labeled again
    logs = log_path(run.folder, 1)
    logs.mkdir(parents=True)
    for name, text in left.items():
        (logs / name).write_text(text)
    judgement = look(run, SlurmExecutor(Slurm())).judgements[0]
    assert (judgement.state, judgement.cause) == (State.FAILED, cause)
    assert ("first line" in judgement.message) is (cause is Cause.NODE)
