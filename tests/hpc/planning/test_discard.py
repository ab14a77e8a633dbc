"""Runs that labeled nothing are moved aside once the configuration is fixed; others are kept."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from hpc.locks import run_lock
from hpc.run import run_folder
from pipeline.run_files.manifest import work_path
from tests.hpc.cli_bench import Bench, once, outcome
from tests.hpc.processes import started
from tests.hpc.snapshot import Snapshot
from tests.pipeline import run_builders
from tests.pipeline.task_processes import rows_in
from tests.waiting import wait_until

CHANGES: list[tuple[dict[str, Any], str]] = [
    # One option that changes labels, and others that do not.
    ({"classifier": {"seconds": 0.001}}, "classifier.seconds"),
    ({"cluster": {"max_parallel": 1}}, "cluster.max_parallel"),
    ({"cluster": {"time_min": 5}}, "cluster.time_min"),
    ({"backlog": {"min_text_length": 4}}, "backlog.min_text_length"),
]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    bench = Bench(tmp_path_factory.mktemp("rejected"))
    bench.config()
    bench.backlog([*run_builders.posts(5), run_builders.posts(1, first=5)[0]._replace(text="meh")])
    bench.script(0, "refuse")
    bench.script(1, "refuse")
    assert outcome(bench.submit()) == (1, "")
    for shard in (0, 1):  # one of them may have been stopped before it used its word
        bench.script(shard, "")
    assert bench.asked() == {}
    return Snapshot(bench)


@pytest.fixture
def rejected(snapshot: Snapshot) -> Bench:
    """A run that the service rejected; one of its six posts is too short to be sent."""
    return snapshot.restore()


def test_each_key_that_changed_is_named_by_a_dry_run_which_moves_nothing(rejected: Bench) -> None:
    for changed, key in CHANGES:
        rejected.config(**changed)
        before = rejected.listing()
        dry = rejected.hpc("submit", "--config", rejected.path, "--dry-run")
        assert outcome(dry) == (0, ""), key
        assert f" ({key}); " in dry.stdout.splitlines()[1]
        document = json.loads(
            rejected.hpc("submit", "--config", rejected.path, "--dry-run", "--json").stdout
        )
        assert document["posts"] == 6, key
        assert rejected.listing() == before, key


@pytest.mark.parametrize("changed", [CHANGES[0][0], CHANGES[1][0]], ids=["labels", "no labels"])
def test_a_run_without_labels_is_moved_aside_once_its_configuration_has_changed(
    rejected: Bench, changed: dict[str, Any]
) -> None:
    (before,) = rejected.runs()
    rejected.config(**changed)
    done = rejected.submit()
    assert outcome(done) == (0, "")
    aside = rejected.folder / "runs" / "set-aside" / before.name
    (run,) = rejected.runs()
    assert rejected.asked() == once(5)
    assert rejected.query("SELECT count(*), count(DISTINCT uri) FROM labels_test") == [(6, 6)]
    assert rejected.query("SELECT DISTINCT run_id FROM shards") == [(run.name,)]
    assert rejected.document("audit", "--config", rejected.path)["whole"]
    # Its logs are kept, and nobody can resume it.
    assert list((aside / "logs" / "0001").glob("*.log"))
    assert outcome(rejected.hpc("resubmit", "--force", aside))[0] == 2
    assert outcome(rejected.submit()) == (0, "")
    assert rejected.runs() == [run]


def left_alone(bench: Bench, run: Path) -> str:
    """Submit and return what is printed; the run is where it was."""
    done = bench.submit()
    assert "Traceback" not in done.stdout + done.stderr
    assert run in bench.runs()
    assert not (bench.folder / "runs" / "set-aside").exists()
    return done.stdout + done.stderr


def test_a_run_with_the_same_configuration_stays(rejected: Bench) -> None:
    (run,) = rejected.runs()
    output = left_alone(rejected, run)
    assert output.endswith(f"resubmit --force runs/{run.name}\n")


def test_a_blocked_run_decides_the_exit_code_beside_a_complete_one(rejected: Bench) -> None:
    """A key that was fixed in the environment changes no configuration."""
    (run,) = rejected.runs()
    rejected.backlog([*run_builders.posts(5), *run_builders.posts(4, first=20)])
    done = rejected.submit()
    assert outcome(done) == (1, "")
    lines = done.stdout.splitlines()
    assert f"run {rejected.runs()[1].name}: complete" in lines
    explanation = lines[lines.index(f"run {run.name}: blocked") :]
    assert any("wants no more of this" in line for line in explanation)
    assert explanation[-1].endswith(f"resubmit --force runs/{run.name}")


def test_a_run_with_an_answer_stays(bench: Bench) -> None:
    """The answer was paid for, so a person decides what becomes of the run."""
    bench.config(posts=40, classifier={"seconds": 0.3})
    driver = bench.start("submit", "--config", bench.path)
    wait_until(lambda: len(bench.asked()) >= 6, "some posts were asked")
    driver.send_signal(signal.SIGTERM)
    driver.communicate()
    (run,) = bench.runs()
    kept = sum(rows_in(work_path(run, shard)) for shard in (0, 1))
    assert kept == len(bench.asked()) > 0
    for shard in (0, 1):
        bench.script(shard, "refuse")
    assert outcome(bench.submit()) == (1, "")
    bench.config(classifier={"seconds": 0.001})
    left_alone(bench, run)
    bench.config(classifier={"seconds": 0.3}, cluster={"max_parallel": 1})
    left_alone(bench, run)
    assert sum(rows_in(work_path(run, shard)) for shard in (0, 1)) == kept


def test_a_run_with_an_unreadable_part_stays(rejected: Bench) -> None:
    (run,) = rejected.runs()
    work = work_path(run, 0)
    work.mkdir(parents=True, exist_ok=True)  # missing if the other shard was rejected first
    (work / "0001-00000-3.parquet").write_text("cut off")
    rejected.config(cluster={"max_parallel": 1})
    left_alone(rejected, run)


@pytest.mark.parametrize("folder", ["is there", "is gone"])
def test_no_run_of_a_name_with_labels_is_moved_aside(bench: Bench, folder: str) -> None:
    """The name's watermark might pass over the posts."""
    bench.config(posts=2)
    assert outcome(bench.submit()) == (0, "")
    if folder == "is gone":
        shutil.rmtree(bench.runs()[0])
    bench.backlog(run_builders.posts(4))
    bench.script(0, "refuse")
    bench.script(1, "refuse")
    assert outcome(bench.submit()) == (1, "")
    run = bench.runs()[-1]
    bench.config(cluster={"max_parallel": 1})
    left_alone(bench, run)


def test_a_run_that_another_process_holds_stays(rejected: Bench) -> None:
    (run,) = rejected.runs()
    rejected.config(cluster={"max_parallel": 1})
    with run_lock.lock_run(run_folder.load(run)):
        left_alone(rejected, run)


def test_submit_waits_by_itself_for_files_that_may_appear_late(bench: Bench) -> None:
    """A shared file system shows a node's files late: `grace_seconds`."""
    bench.config(posts=4, cluster={"grace_seconds": 3.0})
    bench.script(0, "refuse")
    bench.script(1, "refuse")
    assert outcome(bench.submit()) == (1, "")
    (run,) = bench.runs()
    for shard in (0, 1):
        bench.script(shard, "")
    bench.config(cluster={"max_parallel": 1})
    assert outcome(bench.hpc("submit", "--config", bench.path, "--dry-run")) == (0, "")
    assert bench.runs() == [run]
    assert outcome(bench.submit()) == (0, "")
    assert run not in bench.runs()
    assert (bench.folder / "runs" / "set-aside" / run.name).is_dir()
    assert bench.asked() == once(4)


def test_an_interrupted_wait_for_the_other_tasks_of_a_rejected_run_changes_nothing(
    bench: Bench,
) -> None:
    """If new posts became a run now, the rejected run could not be moved aside any more."""
    gate = bench.folder / "gate"
    gated = {"gate": str(gate)}
    bench.config(posts=4, cluster={"grace_seconds": 600.0}, classifier=gated)
    bench.script(0, "refuse")
    bench.script(1, "die")
    driver = started(bench, 2)  # a task that starts after the rejection is rejected too
    gate.touch()
    ended = [("blocked", "refused", 1), ("ending", "crashed", 1)]
    wait_until(lambda: bench.runs() and bench.states() == ended, "both tasks have ended")
    driver.send_signal(signal.SIGTERM)
    driver.communicate()
    (run,) = bench.runs()
    assert bench.states() == ended
    bench.backlog(run_builders.posts(6))
    bench.config(cluster={"max_parallel": 1}, classifier=gated)
    assert outcome(bench.hpc("submit", "--config", bench.path, "--dry-run")) == (0, "")
    waiting = bench.start("submit", "--config", bench.path)
    assert waiting.stdout
    assert waiting.stdout.readline()  # it says that it waits
    waiting.send_signal(signal.SIGINT)
    waiting.communicate()
    assert waiting.returncode == 130
    assert bench.runs() == [run]
