"""After gathering, a shard keeps an input, an output and one log; verbs show the same as before."""

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
from msgspec.structs import replace

from hpc.database.gather_outputs import Target, gather
from hpc.database.history_rows import attempt_rows
from hpc.display.run.attempts import AttemptReport
from hpc.display.terminal.render import plain_text
from hpc.executors.base import Executor, TaskQuery
from hpc.executors.local.executor import LocalExecutor
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.executor import SlurmExecutor
from hpc.locks import run_lock
from hpc.reconcile.gathering.pack import pack_gathered
from hpc.reconcile.look import look
from hpc.run import run_folder
from hpc.run.model.arrays import ArrayPlan, Submission
from hpc.run.model.run import Run
from hpc.run.model.shards import State
from hpc.run.run_state import RunStatus
from hpc.run.submissions import write_submission
from hpc.traces.packed_tasks import FILE_NAME, packed_log_path
from pipeline.errors import Cause
from pipeline.run_files import heartbeat, last_words
from pipeline.run_files.heartbeat import HeartbeatWriter
from pipeline.run_files.last_words import LastWordsWriter
from pipeline.run_files.manifest import log_path, output_path, server_log_path, work_path
from tests.pipeline import run_builders

LONG_AGO = datetime(2026, 11, 25, tzinfo=UTC)
TIMES = "2026-11-25T00:00:00|2026-11-25T00:00:00|2026-11-25T00:01:00"
# Shard 0 was done at once, 1 at its second attempt, 2 failed twice.
ENDS = {(1, 0): "COMPLETED", (1, 1): "FAILED", (1, 2): "FAILED",
        (2, 1): "COMPLETED", (2, 2): "FAILED"}  # fmt: skip


@pytest.fixture(params=["slurm", "local"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose tasks have ended, with all that they leave behind."""
    cluster = {**run_builders.LOCAL_CLUSTER, "executor": request.param}
    folder, manifest = run_builders.make_run(
        tmp_path, run_builders.posts(6), shards=3, cluster=cluster
    )
    made = run_folder.load(folder)
    for number, indices in ((1, (0, 1, 2)), (2, (1, 2))):
        plan = ArrayPlan(offset=0, indices=indices, throttle=3, parallel_tasks=3)
        job = 4710 + number if request.param == "slurm" else None
        write_submission(
            made,
            Submission(
                number=number, job_name=f"job {number}", plan=plan, intended_at=LONG_AGO,
                array_job_id=job, released_at=LONG_AGO + timedelta(minutes=number),
            ),
        )  # fmt: skip
    for (number, shard), end in ENDS.items():
        leave_files(made, number, shard, end)
    for shard in (0, 1):
        run_builders.publish_shard(folder, manifest, shard, attempt=1 + shard)
    stand_in_for_slurm(tmp_path / "programs", monkeypatch)
    return made


def leave_files(run: Run, number: int, shard: int, end: str) -> None:
    logs, work = log_path(run.folder, number), work_path(run.folder, shard)
    logs.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    printed = f"attempt {number} at shard {shard}\nthe end"
    if run.executor == "slurm":
        task = f"{4710 + number}_{shard}"
        for name in (f"{task}_submitted.pkl", f"{task}_0_result.pkl"):
            (logs / name).write_bytes(b"x")
        (logs / f"{task}_0_log.out").write_text(printed)
        (logs / "sbatch.sh").touch()
    else:
        (logs / f"{shard:05d}.log").write_text(printed)
        record = {
            "started_at": "2026-11-25T00:00:00Z", "ended_at": "2026-11-25T00:01:00Z",
            "exit_code": 0 if end == "COMPLETED" else 1, "told_to_stop": False,
        }  # fmt: skip
        (logs / f"{shard:05d}.task.json").write_text(json.dumps(record))
    server_log_path(run.folder, number, shard).write_text(f"server of shard {shard}\n")
    if end == "FAILED":
        words = LastWordsWriter(last_words.path_of(run.folder, number, shard), "n1")
        words.write(RuntimeError(f"no luck with {shard}"))
        (work / f"{number:04d}-0123abcd-00000-1.parquet").write_bytes(b"a part")
        (work / f"{number:04d}-0123abcd.in-hand").write_bytes(b"\0\0")
        HeartbeatWriter(heartbeat.path_of(work, number), posts=2, rows=1, node="n1")


def stand_in_for_slurm(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "\n".join(
        f"{4710 + number}_{shard}|{end}|{'1:0' if end == 'FAILED' else '0:0'}|{TIMES}|60||n1|4G\n"
        f"{4710 + number}_{shard}.0|{end}|0:0|{TIMES}|60|1048576|n1|"
        for (number, shard), end in ENDS.items()
    )
    programs.mkdir()
    for name, lines in {"squeue": "true", "sacct": f"cat <<END\n{rows}\nEND"}.items():
        (programs / name).write_text(f"#!/bin/sh\necho {name} >>{programs / 'calls'}\n{lines}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")


def executor_of(run: Run) -> Executor:
    return LocalExecutor() if run.executor == "local" else SlurmExecutor(Slurm())


def seen(run: Run) -> RunStatus:
    return look(run, executor_of(run), include_done=True, lock_is_ours=True)


def gathered(run: Run) -> RunStatus:
    status = seen(run)
    gather(run, status.observation, status.judgements)
    return status


def pack(run: Run) -> int:
    with run_lock.lock_run(run):
        packed = pack_gathered(gathered(run), executor_of(run))
    assert packed.problems == ()
    return packed.shards


def files_of(run: Run) -> set[str]:
    """All files and folders of a run, but for what is not of its tasks."""
    found = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*")}
    return {name for name in found if not name.startswith((".", "submissions", "manifest"))}


def story(run: Run) -> tuple[object, ...]:
    """All that verbs show of the attempts of a run, without the names of log files."""
    status = seen(run)
    shards = [
        replace(
            shard,
            attempts=tuple(replace(attempt, packed=None) for attempt in shard.attempts),
        )
        for shard in status.observation.shards
    ]
    report = AttemptReport(status=status, executor=executor_of(run), most_lines=9)
    lines = [plain_text(report.describe([shard])).splitlines() for shard in range(3)]
    shown = [
        line.partition(str(run.folder))[0] if str(run.folder) in line else line
        for shard_lines in lines
        for line in shard_lines
    ]
    documents = [report.document(shard) for shard in range(3)]
    for document in documents:
        for attempt in document["attempts"]:
            assert Path(attempt.pop("log")).exists()
            assert Path(attempt.pop("server_log")).exists()
    rows = attempt_rows(run, status.observation)
    return shards, status.judgements, shown, documents, rows


def test_a_gathered_shard_keeps_an_input_an_output_and_one_log(run: Run) -> None:
    failed = {
        name for name in files_of(run) if "00002" in name or ("471" in name and "_2_" in name)
    }
    assert pack(run) == 2
    keeps = {
        f"{folder}/0000{shard}.parquet" for folder in ("shards", "outputs") for shard in (0, 1)
    }
    keeps |= {"logs/00000.log", "logs/00001.log", f"logs/{FILE_NAME}"}
    folders = {"shards", "outputs", "work", "logs", "logs/0001", "logs/0002"}
    scripts = {f"logs/000{n}/sbatch.sh" for n in (1, 2)} if run.executor == "slurm" else set()
    assert files_of(run) - failed - scripts - folders == keeps
    assert failed <= files_of(run)


def test_verbs_show_the_same_after_packing(run: Run) -> None:
    before = story(run)
    assert pack(run) == 2
    assert story(run) == before


def remove_all_signs_of_life(run: Run, number: int, shard: int) -> None:
    """Leave of a task what one leaves that ended before its first line."""
    for path in (
        last_words.path_of(run.folder, number, shard),
        server_log_path(run.folder, number, shard),
        *work_path(run.folder, shard).iterdir(),
    ):
        path.unlink()


def looks_at_open_shards(run: Run) -> tuple[RunStatus, RunStatus]:
    """A look that leaves out what only the shards that are done need, and one that does not."""
    executor = executor_of(run)
    return (
        look(run, executor, open_only=True, lock_is_ours=True),
        look(run, executor, lock_is_ours=True),
    )


def test_a_look_at_open_shards_leaves_out_what_is_packed(run: Run) -> None:
    pack(run)
    narrow, whole = looks_at_open_shards(run)
    assert [len(shard.attempts) for shard in narrow.observation.shards] == [0, 0, 2]
    assert narrow.observation.shards[2] == whole.observation.shards[2]
    assert narrow.judgements == whole.judgements
    assert narrow.observation.asked == whole.observation.asked


def test_a_look_at_open_shards_knows_that_other_tasks_got_further(run: Run) -> None:
    """Without the tasks that are packed, every task of the arrays would seem to end early."""
    remove_all_signs_of_life(run, 1, 2)
    remove_all_signs_of_life(run, 2, 2)
    pack(run)
    narrow, whole = looks_at_open_shards(run)
    assert narrow.judgements[2].cause is Cause.NODE
    assert narrow.judgements == whole.judgements


def test_a_look_at_open_shards_shows_one_whose_output_is_gone(run: Run) -> None:
    pack(run)
    output_path(run.folder, 1).unlink()
    narrow, whole = looks_at_open_shards(run)
    assert len(narrow.observation.shards[1].attempts) == 2
    assert narrow.judgements == whole.judgements


def test_a_look_at_open_shards_shows_one_whose_output_goes_meanwhile(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(run)
    executor = executor_of(run)
    query, output = executor.query, output_path(run.folder, 1)

    def query_slowly(*arguments: Any, **options: Any) -> TaskQuery:
        output.unlink()
        return query(*arguments, **options)

    monkeypatch.setattr(executor, "query", query_slowly)
    narrow = look(run, executor, open_only=True, lock_is_ours=True)
    monkeypatch.undo()
    assert narrow.judgements == looks_at_open_shards(run)[1].judgements
    assert narrow.judgements[1].state is not State.DONE


def test_the_history_is_the_same_after_packing_and_after_a_rebuild(
    run: Run, tmp_path: Path
) -> None:
    gathered(run)

    def history(database: Path) -> list[tuple[object, ...]]:
        with duckdb.connect(str(database), read_only=True) as labels:
            return labels.execute("FROM attempts ORDER BY shard_index, attempt").fetchall()

    before = history(Path(run.manifest.database))
    pack(run)
    gathered(run)
    assert history(Path(run.manifest.database)) == before
    status, fresh = seen(run), tmp_path / "fresh.duckdb"
    gather(run, status.observation, status.judgements, into=Target(database=fresh))
    assert history(fresh) == before


def test_packing_again_changes_nothing(run: Run) -> None:
    pack(run)
    content = {
        name: (run.folder / name).read_bytes()
        for name in files_of(run)
        if (run.folder / name).is_file()
    }
    assert pack(run) == 0
    assert {name: (run.folder / name).read_bytes() for name in content} == content


def test_a_shard_that_is_not_gathered_keeps_its_files(run: Run) -> None:
    before = files_of(run)
    with run_lock.lock_run(run):
        assert pack_gathered(seen(run), executor_of(run)).shards == 0
    assert files_of(run) == before


def test_a_log_that_a_killed_process_had_begun_is_removed(run: Run) -> None:
    half = run.folder / "logs" / f".tmp-{'0' * 32}-00001.log"
    half.write_text("half")
    pack(run)
    assert not half.exists()


def test_files_of_others_stay(run: Run) -> None:
    others = [
        work_path(run.folder, 0) / "notes.txt",
        work_path(run.folder, 0) / "0001-notes.txt",
        work_path(run.folder, 1) / "0002-0123abcd-00000-1.parquet.damaged",
        work_path(run.folder, 1) / "0007-0123abcd-00000-1.parquet",  # of an attempt nobody knows
        log_path(run.folder, 1) / "00000.log.old",
        log_path(run.folder, 1) / "notes.txt",
        output_path(run.folder, 0).with_name("00000.parquet.damaged"),
    ]
    for path in others:
        path.touch()
    pack(run)
    assert [path for path in others if not path.exists()] == []


def test_nothing_is_packed_if_shards_were_submitted_since_the_look(run: Run) -> None:
    status, before = gathered(run), files_of(run)
    plan = ArrayPlan(offset=0, indices=(1,), throttle=1, parallel_tasks=1)
    later = Submission(number=3, job_name="job 3", plan=plan, intended_at=LONG_AGO)
    write_submission(run, later)
    with run_lock.lock_run(run):
        assert pack_gathered(status, executor_of(run)).shards == 0
    assert files_of(run) == before


def test_what_a_task_wrote_after_its_files_were_packed_is_packed_too(run: Run) -> None:
    """A file system may show the last lines of a log, or a whole file, after the task's end."""
    pack(run)
    attempt = seen(run).observation.shards[0].attempts[0]
    late = executor_of(run).log_file(run, 0, attempt)
    assert late
    late.parent.mkdir(exist_ok=True)
    late.write_text("attempt 1 at shard 0\nthe end\nand more")
    assert pack(run) == 1
    assert not late.exists()
    (document,) = AttemptReport(status=seen(run), executor=executor_of(run), most_lines=1).document(
        0
    )["attempts"]
    assert document["tail"] == ["and more"]


def test_a_long_log_keeps_its_end(run: Run) -> None:
    attempt = seen(run).observation.shards[0].attempts[0]
    log = executor_of(run).log_file(run, 0, attempt)
    assert log
    log.write_bytes(b"x" * 5_000_000 + b"\nthe end")
    pack(run)
    assert packed_log_path(run.folder, 0).stat().st_size < 1_100_000
    report = AttemptReport(status=seen(run), executor=executor_of(run), most_lines=1)
    assert report.document(0)["attempts"][0]["tail"] == ["the end"]


def test_a_log_that_cannot_be_read_stays_with_all_files_of_its_shard(run: Run) -> None:
    attempt = seen(run).observation.shards[0].attempts[0]
    log = executor_of(run).log_file(run, 0, attempt)
    assert log
    log.unlink()
    log.mkdir()
    with run_lock.lock_run(run):
        packed = pack_gathered(gathered(run), executor_of(run))
    assert (packed.shards, len(packed.problems)) == (1, 1)
    assert str(log) in packed.problems[0]
    assert server_log_path(run.folder, 1, 0).exists()


def test_a_run_that_is_packed_needs_no_answer_of_slurm(run: Run, tmp_path: Path) -> None:
    for shard in (2,):
        run_builders.publish_shard(run.folder, run.manifest, shard, attempt=2)
    assert pack(run) == 3
    (tmp_path / "programs" / "calls").write_text("")
    before = story(run)
    assert (tmp_path / "programs" / "calls").read_text() == ""
    assert len(before[4]) == 5


@pytest.mark.parametrize("line", [b'{"shard": 1', b"\xff\xfe\n", b"[]\n", b'{"shard": "x"}\n'])
def test_a_damaged_line_of_the_list_is_named_and_the_others_count(run: Run, line: bytes) -> None:
    pack(run)
    before = story(run)
    path = run.folder / "logs" / FILE_NAME
    with path.open("ab") as stream:
        stream.write(line)
    assert story(run) == before
    problems = seen(run).observation.unreadable
    assert [str(path) in problem for problem in problems] == [True] * line.endswith(b"\n")


def test_a_line_that_a_killed_process_had_begun_is_cut_off(run: Run) -> None:
    pack(run)
    path = run.folder / "logs" / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"shard": 2, "att' + b"x" * 10_000)
    run_builders.publish_shard(run.folder, run.manifest, 2, attempt=2)
    assert pack(run) == 1
    assert path.read_bytes().startswith(whole)
    assert seen(run).observation.unreadable == ()
    assert b"xxx" not in path.read_bytes()


class KilledError(BaseException):
    """The process is killed here."""


class _Killer:
    """Ends the process at its n-th change of the file system below a folder."""

    folder: Path | None = None
    left = 0

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.folder is None or not self._is_change(event, arguments):
            return
        if not Path(os.fsdecode(str(arguments[0]))).is_relative_to(self.folder):
            return
        if self.left == 0:
            self.folder = None
            raise KilledError
        self.left -= 1

    @staticmethod
    def _is_change(event: str, arguments: tuple[object, ...]) -> bool:
        if event == "open":
            return isinstance(arguments[1], str) and not arguments[1].startswith("r")
        return event in ("os.remove", "os.rename", "os.rmdir", "os.truncate")


KILLER = _Killer()
sys.addaudithook(KILLER)  # it cannot be removed, so it is one for all


def is_killed_at(change: int, folder: Path, act: Callable[[], object]) -> bool:
    """Act, and tell whether the process was killed at the n-th change below a folder."""
    KILLER.folder, KILLER.left = folder, change
    try:
        act()
    except KilledError:
        return True
    finally:
        KILLER.folder = None
    return False


def test_packing_can_be_killed_at_any_change_of_a_file(run: Run) -> None:
    status, before = gathered(run), story(run)
    change = 0
    with run_lock.lock_run(run):
        while is_killed_at(change, run.folder, partial(pack_gathered, status, executor_of(run))):
            assert story(run) == before
            status = seen(run)
            change += 1
            assert change < 100
    assert change > 5
    assert story(run) == before
    assert pack(run) == 0
    assert {name for name in files_of(run) if name.startswith("work/")} == {
        name for name in files_of(run) if name.startswith("work/00002")
    }
    for shard, count in ((0, 1), (1, 2)):
        log = packed_log_path(run.folder, shard).read_text()
        for number in range(1, count + 1):
            assert log.count(f"attempt {number} at shard {shard}\n") == 1
