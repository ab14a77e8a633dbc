"""A submitted run is corrected by `hpc resubmit --set` and `--config`, and is never edited."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpc.locks import run_lock
from hpc.run import run_folder
from pipeline.run_files import amendments
from tests.hpc.cli_bench import Bench, outcome
from tests.hpc.snapshot import Snapshot


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    bench = Bench(tmp_path_factory.mktemp("refused"))
    bench.config(posts=4, cluster={"max_parallel": 1}, sharding={"shards": 2})
    bench.script(1, "refuse")
    assert bench.submit().returncode == 1
    assert bench.states() == [("done", None, 1), ("blocked", "refused", 1)]
    return Snapshot(bench)


@pytest.fixture
def refused(snapshot: Snapshot) -> Bench:
    """A run whose second shard the service rejected, so that the run is stopped."""
    return snapshot.restore()


def edit(bench: Bench, **sections: dict[str, Any]) -> Path:
    values = yaml.safe_load(bench.path.read_text())
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    path = bench.path.with_name("edited.yaml")
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_correction_resumes_a_stopped_run_and_reaches_its_tasks(refused: Bench) -> None:
    (folder,) = refused.runs()
    manifest = (folder / "manifest.json").read_bytes()
    closed = refused.folder / "closed"
    assert refused.hpc("resubmit").returncode == 1  # the run is stopped
    done = refused.document(
        "resubmit", "--set", f"classifier.closed={closed}", "--set", "retry.max_attempts=9"
    )
    assert done["changes"] == [
        {"key": "classifier.closed", "old": None, "new": str(closed)},
        {"key": "retry.max_attempts", "old": 4, "new": 9},
    ]
    assert refused.states() == [("done", None, 1), ("done", None, 2)]
    assert closed.exists()  # the option reached the one task that was still to run
    assert set(refused.asked().values()) == {1}  # nothing was paid for twice
    status = refused.document("status")
    assert status["amendments"][0]["changes"] == done["changes"]
    assert "corrected" in refused.hpc("status").stdout
    assert (folder / "manifest.json").read_bytes() == manifest
    # The labels are those of one configuration, and the folders alone give them back.
    (refused.folder / "labels.duckdb").unlink()
    assert refused.hpc("gather", "--rebuild").returncode == 0
    assert refused.query("SELECT count(*), count(DISTINCT config_hash) FROM labels_test") == [
        (4, 1)
    ]
    assert refused.submit().returncode == 0
    assert refused.runs() == [folder]


def test_a_dry_run_shows_a_correction_and_writes_nothing(refused: Bench) -> None:
    before = refused.listing()
    done = refused.document("resubmit", "--dry-run", "--set", "retry.max_attempts=9")
    assert (done["shards"], done["array_jobs"]) == ([1], [])
    assert done["changes"] == [{"key": "retry.max_attempts", "old": 4, "new": 9}]
    assert refused.listing() == before


def test_a_dry_run_needs_no_lock(refused: Bench) -> None:
    """It helps to decide whether to stop the process that supervises the run."""
    (folder,) = refused.runs()
    with run_lock.lock_run(run_folder.load(folder)):
        assert refused.document("resubmit", "--dry-run", "--force")["shards"] == [1]
        assert refused.hpc("resubmit", "--force").returncode == 1
    assert refused.document("status", code=1)["amendments"] == []


def test_a_correction_is_not_announced_before_it_is_made(refused: Bench) -> None:
    # The local executor has no caretakers.
    done = refused.hpc("resubmit", "--set", "retry.max_attempts=9", "--caretaker")
    assert (done.returncode, "corrected" in done.stdout + done.stderr) == (2, False)
    assert refused.document("status", code=1)["amendments"] == []


def test_an_edited_configuration_corrects_the_newest_run_of_its_name(refused: Bench) -> None:
    (folder,) = refused.runs()
    closed = refused.folder / "closed"
    path = edit(refused, classifier={"closed": str(closed)}, retry={"max_time": "4:00:00"})
    done = refused.document("resubmit", "--config", path)
    assert done["changes"] == [
        {"key": "classifier.closed", "old": None, "new": str(closed)},
        {"key": "retry.max_time_min", "old": None, "new": 240},
    ]
    assert refused.states() == [("done", None, 1), ("done", None, 2)]
    again = refused.document("resubmit", "--config", path)
    assert (again["changes"], again["shards"]) == ([], [])
    assert len(run_folder.load(folder).amendments) == 1


NOT_CORRECTED = {
    "classifier.script: ": {"classifier": {"script": "twice"}},
    "backlog.source: ": {"backlog": {"source": "others.jsonl"}},
    "backlog.min_text_length: ": {"backlog": {"min_text_length": 9}},
    "sharding.shards: ": {"sharding": {"shards": 3}},
    "storage.database: ": {"storage": {"database": "other.duckdb"}},
    "cluster.executor: ": {"cluster": {"executor": "slurm"}},
}


def test_an_edit_that_no_run_can_follow_is_rejected_by_name(refused: Bench) -> None:
    for named, sections in NOT_CORRECTED.items():
        path = edit(refused, retry={"max_attempts": 9}, **sections)
        code, message = outcome(refused.hpc("resubmit", "--config", path))
        assert (code, named in message) == (2, True), message
    assert refused.document("status", code=1)["amendments"] == []


def test_a_configuration_of_another_name_corrects_no_run(refused: Bench) -> None:
    path = edit(refused)
    path.write_text(path.read_text().replace("name: test", "name: other"))
    assert refused.hpc("resubmit", "--config", path).returncode == 2
    (folder,) = refused.runs()
    code, message = outcome(refused.hpc("resubmit", folder, "--config", path))
    assert (code, "name: " in message) == (2, True)


def test_overrides_of_the_submission_count_as_given(bench: Bench) -> None:
    path = bench.config(posts=4)
    assert bench.submit("--set", "sharding.shards=3").returncode == 0
    assert outcome(bench.hpc("resubmit", "--config", path))[0] == 2
    done = bench.document("resubmit", "--config", path, "--set", "sharding.shards=3")
    assert done["changes"] == []


def test_a_run_that_a_newer_version_amended_is_left_alone(refused: Bench) -> None:
    (folder,) = refused.runs()
    assert refused.hpc("resubmit", "--dry-run", "--set", "retry.requeues=1").returncode == 0
    (folder / amendments.FOLDER).mkdir()
    amendments.path_of(folder, 1).write_text(json.dumps({"format": 2, "version": "9.0"}))
    for verb in ("status", "resubmit", "supervise", "gather"):
        code, message = outcome(refused.hpc(verb))
        assert (code, "version 9.0" in message) == (2, True), verb


def test_a_time_limit_may_be_given_as_slurm_writes_it(refused: Bench) -> None:
    for words, code in (
        (("--time", "4:00:00"), 0), (("--time-min", "240"), 0), (("--time", "soon"), 2),
        (("--time", "4:00:00", "--time-min", "240"), 2),
    ):  # fmt: skip
        assert refused.hpc("resubmit", "--force", "--dry-run", *words).returncode == code
