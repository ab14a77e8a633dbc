"""An order that an earlier version pickled still labels its shard, in one process."""

from pathlib import Path

import pytest

from pipeline.model import WorkOrder
from pipeline.run_files.manifest import output_path
from pipeline.worker.submitit_task import ShardTask
from tests.pipeline.run_builders import make_run, order, posts


def test_a_further_copy_ends_at_once_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir, _ = make_run(tmp_path, posts(2))
    before = sorted(run_dir.rglob("*"))
    work: WorkOrder = order(run_dir)
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    ShardTask(0)(work)
    assert not output_path(run_dir, 0).exists()
    assert sorted(run_dir.rglob("*")) == before
