"""`hpc ls`: every folder under the run root is listed as what it is, and Slurm is asked once."""

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hpc.executors.slurm.client import QueryResult, Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.overview import known_runs, list_runs, other_runs
from hpc.overview.run_row import is_meant
from hpc.run import run_folder, submissions
from hpc.run.array_indices import TaskId
from hpc.run.model.arrays import ArrayPlan
from hpc.run.model.attempts import Phase, TaskRecord
from tests.hpc.cli_bench import Bench
from tests.hpc.snapshot import Snapshot
from tests.pipeline import run_builders

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Two runs: one is complete and gathered, the other lacks an output."""
    bench = Bench(tmp_path_factory.mktemp("listed"))
    bench.config(posts=8, cluster={"grace_seconds": 0})
    assert bench.submit("--limit", "4").returncode == 0
    assert bench.hpc("gather").returncode == 0
    assert bench.submit().returncode == 0
    (bench.runs()[1] / "outputs" / "00001.parquet").unlink()
    return Snapshot(bench)


@pytest.fixture
def bench(snapshot: Snapshot) -> Bench:
    return snapshot.restore()


def rows(bench: Bench, *arguments: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = bench.document("ls", *arguments)["runs"]
    return listed


def test_runs_have_their_name_state_posts_size_and_age(bench: Bench) -> None:
    first, second = bench.runs()
    complete, failed = rows(bench)
    assert {key: complete[key] for key in ("run_id", "name", "kind", "state", "archived")} == {
        "run_id": first.name, "name": "test", "kind": "run", "state": "complete", "archived": False,
    }  # fmt: skip
    assert (complete["posts"], complete["posts_done"], complete["gathered"]) == (4, 4, True)
    assert (failed["run_id"], failed["state"], failed["posts_done"]) == (second.name, "failed", 2)
    paths = [path for path in second.rglob("*") if not path.name.startswith(".seen")]
    assert failed["bytes"] >= sum(path.stat().st_size for path in paths if path.is_file())
    assert failed["files"] >= len(paths) + 1


def test_a_complete_run_that_the_database_lacks_is_not_gathered(bench: Bench) -> None:
    (bench.folder / "labels.duckdb").unlink()
    assert [row["gathered"] for row in rows(bench)] == [False, False]
    (bench.folder / "labels.duckdb").write_bytes(b"no database")
    assert [row["gathered"] for row in rows(bench)] == [None, None]


def test_what_is_no_usual_run_is_listed_as_what_it_is(bench: Bench) -> None:
    first, second = bench.runs()
    bench.hpc("clean", first.name, "--yes")
    shutil.copytree(second, f"{second}-copy")
    manifest = json.loads((second / "manifest.json").read_text())
    (second / "manifest.json").write_text(json.dumps({**manifest, "classifier": {"type": "human"}}))
    root = bench.folder / "runs"
    (root / "20260101T000000-lost-01234567" / "shards").mkdir(parents=True)
    (root / "set-aside" / "20260102T000000-oops-01234567").mkdir(parents=True)
    listed = {(row["folder"], row["kind"], row["archived"]) for row in rows(bench)}
    assert listed == {
        (first.name, "run", True),
        (second.name, "codings", False),
        (f"{second.name}-copy", "copy", False),
        ("20260101T000000-lost-01234567", "unreadable", False),
        ("set-aside/20260102T000000-oops-01234567", "set aside", False),
    }


def test_names_and_beginnings_of_ids_choose_runs(bench: Bench) -> None:
    first, second = bench.runs()
    assert [row["run_id"] for row in rows(bench, "test")] == [first.name, second.name]
    assert [row["run_id"] for row in rows(bench, second.name[:-2])] == [second.name]
    assert bench.hpc("ls", "nothing").returncode == 2
    assert bench.hpc("ls", "").returncode == 2
    assert rows(bench, "--run-root", "nowhere") == []


@pytest.mark.parametrize(
    ("wanted", "is_listed"),
    [("tox", True), ("toxicity", True), ("2026", True), ("toxicity-4c", True), ("city", False)],
)
def test_an_argument_of_ls_fits_a_name_or_a_beginning(wanted: str, *, is_listed: bool) -> None:
    assert is_meant("20261129T094423-toxicity-4ceaec33", wanted) == is_listed
    assert is_meant("set-aside/20261129T094423-toxicity-4ceaec33", wanted) == is_listed


def test_a_complete_run_is_not_opened_again_until_one_of_its_folders_changes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bench.runs()
    before = rows(bench)
    opened: list[Path] = []
    real = list_runs.load

    def load(folder: Path) -> Any:
        opened.append(folder)
        return real(folder)

    monkeypatch.setattr(list_runs, "load", load)
    assert rows(bench) == before
    assert opened == [second]
    (first / "outputs" / "00000.parquet").unlink()
    assert rows(bench)[0]["state"] == "failed"
    assert opened == [second, first, second]


def test_a_damaged_memory_costs_only_time(bench: Bench) -> None:
    before = rows(bench)
    (bench.folder / "runs" / known_runs.FILE_NAME).write_text('{"root": 1')
    assert rows(bench) == before


def test_status_without_a_run_names_older_runs_that_are_not_complete(bench: Bench) -> None:
    first, second = bench.runs()
    assert bench.document("status", code=1)["other_runs"] == []
    (first / "outputs" / "00000.parquet").unlink()
    other = {"run_id": first.name, "name": "test", "state": "failed"}
    assert bench.document("status", code=1)["other_runs"] == [other]
    assert bench.document("status", second.name, code=1)["other_runs"] is None
    line = "1 other run is not complete: test, failed (hpc ls)."
    assert bench.hpc("status").stdout.splitlines()[-1] == line
    assert bench.hpc("resubmit").returncode == 0
    assert bench.hpc("resubmit").stdout.splitlines()[-1] == line


def test_status_looks_at_few_other_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = bench.runs()
    (first / "outputs" / "00000.parquet").unlink()
    monkeypatch.setattr(other_runs, "MOST_LOOKS", 0)
    (other,) = bench.document("status", code=1)["other_runs"]
    assert other["state"] is None
    monkeypatch.setattr(other_runs, "MOST_RUNS", 0)
    assert bench.document("status", code=1)["other_runs"] == []


class Questions:
    """Counts the questions to Slurm, and answers that each task runs; or does not answer."""

    def __init__(self, *, answers: bool) -> None:
        self.asked: list[str] = []
        self._answers = answers

    def queue(self, slurm: Slurm, names: Sequence[str]) -> QueryResult:
        self._count("queue")
        running = TaskRecord(phase=Phase.ACTIVE, slurm_state="RUNNING")
        return QueryResult(records=tuple((TaskId(job, (0, 1)), running) for job in (1, 2, 3)))

    def accounting(self, slurm: Slurm, jobs: Sequence[int], since: datetime) -> QueryResult:
        self._count("accounting")
        return QueryResult()

    def local_name(self, slurm: Slurm) -> str:
        self._count("local_name")
        return "here"

    def _count(self, question: str) -> None:
        self.asked.append(question)
        if not self._answers:
            raise SlurmError([question], "no answer in 60 s", "", "", timed_out=True)


@pytest.mark.parametrize(("answers", "state"), [(True, "running"), (False, "unknown")])
def test_slurm_is_asked_once_for_all_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, answers: bool, state: str
) -> None:
    plan = ArrayPlan(offset=0, indices=(0, 1), throttle=2, parallel_tasks=2)
    for number in (1, 2, 3):
        folder, _ = run_builders.make_run(
            tmp_path, run_builders.posts(4), shards=2, run_id=f"2024060{number}T120000-v-0123abcd",
            cluster={**run_builders.LOCAL_CLUSTER, "executor": "slurm"},
        )  # fmt: skip
        run = run_folder.load(folder)
        (intent,) = submissions.plan_intents(run, (plan,), NOW)
        submissions.write_submission(run, replace(intent, array_job_id=number, released_at=NOW))
    questions = Questions(answers=answers)
    for name in ("queue", "accounting", "local_name"):
        ask = getattr(questions, name)
        monkeypatch.setattr(Slurm, name, lambda slurm, *given, ask=ask: ask(slurm, *given))
    listed = list_runs.list_runs(tmp_path / "runs", list_runs.list_folders(tmp_path / "runs"))
    assert [str(row.state) for row in listed] == [state] * 3
    assert {"queue", "accounting"} <= set(questions.asked)
    assert len(questions.asked) == len(set(questions.asked))
    assert all(bool(row.note) != answers for row in listed)
