"""What cannot be read now is named by audit and submit, and no post is paid for twice."""

import errno
import json
from typing import Any

import pytest

from tests.attack.faults import Faults
from tests.hpc.cli_bench import Bench
from tests.hpc.snapshot import Snapshot
from tests.pipeline.run_builders import posts

ERRORS = [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOMEM, errno.EMFILE]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    made = Bench(tmp_path_factory.mktemp("blocked"))
    made.config(posts=4, retry={"max_attempts": 1})
    made.script(1, "fail")
    assert made.submit().returncode == 1
    assert made.states() == [("done", None, 1), ("blocked", "crashed", 1)]
    made.backlog(posts(6))
    return Snapshot(made)


@pytest.fixture
def bench(snapshot: Snapshot) -> Bench:
    """A run of two shards, the second of which is blocked; and two posts in no run."""
    return snapshot.restore()


def call(bench: Bench, faults: Faults, verb: str, *arguments: object) -> tuple[int, str, str]:
    """Return exit code and output of a verb under faults; it prints no traceback."""
    done = faults.hpc(bench, verb, *arguments)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def audit(bench: Bench, faults: Faults) -> tuple[int, dict[str, Any]]:
    code, out, _ = call(bench, faults, "audit", "--config", bench.path, "--json")
    return code, json.loads(out)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("operation", ["open", "read"])
def test_audit_names_an_output_that_cannot_be_read_and_audits_the_rest(
    bench: Bench, faults: Faults, operation: str, error: int
) -> None:
    fault = faults.fail(operation, "*/outputs/00000.parquet", error)
    code, report = audit(bench, faults)
    assert fault.injected
    assert code == 1
    assert ["00000.parquet" in problem for problem in report["unreadable_files"]] == [True]
    assert (report["places"]["labelled"], report["places"]["lost"]) == (2, 0)
    assert (report["not_compared"], report["differing"], report["outputs_gone"]) == (2, 0, 0)
    faults.clear()
    _, report = audit(bench, faults)
    assert (report["unreadable_files"], report["not_compared"]) == ([], 0)


@pytest.mark.parametrize("error", ERRORS)
def test_submit_pays_for_no_post_of_a_shard_that_cannot_be_read(
    bench: Bench, faults: Faults, error: int
) -> None:
    before = bench.asked()
    faults.fail("open", "*/shards/00001.parquet", error)
    code, _, message = call(bench, faults, "submit", "--config", bench.path)
    assert code == 1
    (run,) = bench.runs()
    assert f"{run}/shards/00001.parquet" in message
    assert "backlog.source" not in message
    assert bench.asked() == before
    code, report = audit(bench, faults)
    assert (code, report["places"]["unreadable"], report["places"]["new"]) == (1, 2, 2)
    faults.clear()
    # The run is still blocked, and its posts are not in the new one.
    call(bench, faults, "submit", "--config", bench.path)
    first, second = bench.runs()
    assert first == run
    assert json.loads((second / "manifest.json").read_text())["shards"][0]["posts"] == 1
    labels = "SELECT count(*), count(DISTINCT uri) FROM labels_test"
    assert bench.query(labels) == [(4, 4)]


@pytest.mark.parametrize(
    ("operation", "pattern"),
    [
        ("open", "*/runs/2*/manifest.json"),
        ("read", "*/runs/2*/manifest.json"),
        ("stat", "*/runs/2*/manifest.json"),
        ("list", "{folder}/runs"),  # not the package of this name
    ],
)
def test_submit_takes_no_run_that_cannot_be_read_for_none(
    bench: Bench, faults: Faults, operation: str, pattern: str
) -> None:
    before = bench.asked()
    fault = faults.fail(operation, pattern.format(folder=bench.folder), errno.EIO)
    code, _, message = call(bench, faults, "submit", "--config", bench.path)
    assert fault.injected
    assert code in (1, 2)
    assert str(bench.folder / "runs") in message
    assert bench.asked() == before
    assert len(bench.runs()) == 1
    assert call(bench, faults, "audit", "--config", bench.path)[0] == 1


def test_an_error_that_passes_does_not_change_what_audit_says(bench: Bench, faults: Faults) -> None:
    _, before = audit(bench, faults)
    fault = faults.fail("read", "*/outputs/00000.parquet", errno.ESTALE, times=1)
    assert audit(bench, faults) == (1, before)
    assert fault.injected == 1


def test_a_database_on_a_disk_that_is_not_there_is_not_missing(bench: Bench) -> None:
    """Nobody knows what has a label, so nothing is planned, and no audit says that all is well."""
    database = bench.folder / "labels.duckdb"
    moved = database.rename(bench.folder / "moved.duckdb")
    database.symlink_to("/not/mounted/labels.duckdb")
    runs = bench.runs()
    for done in (
        bench.submit(),
        bench.hpc("submit", "--config", bench.path, "--dry-run"),
        bench.hpc("audit", "--config", bench.path),
        bench.hpc("audit", "--config", bench.path, "--post", posts(1)[0].uri),
        bench.hpc("gather"),
    ):
        assert done.returncode == 1, done
        assert str(database) in done.stderr
    assert bench.runs() == runs
    moved.replace(database)
    assert bench.document("audit", "--config", bench.path, code=1)["places"]["labelled"] == 2
