"""One process labels a shard, however many copies of its task Slurm starts."""

from pathlib import Path

import pytest

from pipeline.model import WorkOrder
from pipeline.run_files.manifest import output_path
from pipeline.worker.submitit_task import ShardTask, further_copy
from tests.pipeline.run_builders import make_run, order, posts


@pytest.mark.parametrize("environment", [{}, {"SLURM_PROCID": "0"}, {"SLURM_NTASKS": "4"}])
def test_the_first_process_of_a_step_labels_its_shard(environment: dict[str, str]) -> None:
    assert further_copy(environment) == ""


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
