"""`supervise` as a process, while system calls on the run's files fail."""

import errno
import os
from pathlib import Path

import pytest

from hpc.run.exit_codes import FAILED
from hpc.run.model.run import Run
from tests.attack.faults import Faults
from tests.hpc.cli_bench import Bench, valence_run
from tests.hpc.in_process import Done
from tests.pipeline import run_builders

PASSING = [
    ("list", "*/outputs", errno.ESTALE),
    ("list", "*/submissions", errno.EIO),
    ("read", "*/submissions/0001.json", errno.ESTALE),
    ("open", "*/submissions/0001.json", errno.EACCES),
    ("open", "*/submissions/0001.json", errno.EMFILE),
    ("list", "*/work", errno.EIO),
    ("list", "*/logs/0001", errno.ESTALE),
    ("open", "*/labels.duckdb", errno.EIO),
    ("write", "*/logs/*.task.json", errno.ENOSPC),
    ("open", "*/logs/*.task.json", errno.EIO),
]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return valence_run(tmp_path, 4, shards=2)


def supervise(bench: Bench, run: Run, faults: Faults) -> Done:
    return faults.hpc(bench, "supervise", run.folder)


@pytest.mark.parametrize(("operation", "pattern", "error"), PASSING)
def test_an_error_that_passes_ends_no_supervision(
    run: Run, bench: Bench, faults: Faults, operation: str, pattern: str, error: int
) -> None:
    fault = faults.fail(operation, pattern, error, times=2, process="*supervise*")
    done = supervise(bench, run, faults)
    assert (done.returncode, done.stderr) == (0, "")
    assert fault.injected
    document = bench.document("status", run.folder)
    assert document["state"] == "complete"
    assert {shard["state"] for shard in document["shards"]} == {"done"}


@pytest.mark.parametrize("error", [errno.ESTALE, errno.EACCES])
def test_an_error_that_lasts_ends_it_and_nothing_is_submitted(
    run: Run, bench: Bench, faults: Faults, error: int
) -> None:
    faults.fail("list", "*/submissions", error)
    done = supervise(bench, run, faults)
    assert done.returncode == FAILED
    assert f"{run.folder}/submissions" in done.stderr
    assert os.strerror(error) in done.stderr
    assert f"hpc supervise {run.folder.relative_to(bench.folder)}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((run.folder / "logs").glob("*"))


def test_an_output_that_cannot_be_read_is_gathered_in_a_later_round(
    run: Run, bench: Bench, faults: Faults
) -> None:
    for shard in range(2):
        run_builders.publish_shard(run.folder, run.manifest, shard)
    fault = faults.fail("read", "*/outputs/00000.parquet", errno.EIO, times=12)
    done = supervise(bench, run, faults)
    assert (done.returncode, done.stderr) == (0, "")
    assert fault.injected == 12
    assert bench.document("gather", run.folder)["rows_before"] == 4
