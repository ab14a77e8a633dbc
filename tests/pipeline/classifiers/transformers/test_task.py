"""A model in a task: its cores, its GPU, its environment and its files."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.classifiers import frozen_classifier
from pipeline.errors import Cause, TaskError
from pipeline.run_files import last_words, output
from pipeline.run_files.manifest import work_path
from tests.pipeline import task_processes
from tests.pipeline.run_builders import make_run, order
from tests.pipeline.run_builders import posts as source_posts

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

import torch

from tests.pipeline.classifiers.transformers import tiny_model
from tests.pipeline.classifiers.transformers.loaded_model import (
    ONE_THREAD,
    load,
    options,
)


def test_the_model_uses_the_cores_that_slurm_allocated(
    toxic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    for cores in ("2", "1"):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", cores)
        load(toxic)
        assert torch.get_num_threads() == min(int(cores), len(os.sched_getaffinity(0)))


def test_a_gpu_that_slurm_allocated_is_used_or_the_task_ends(
    toxic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    if torch.cuda.is_available():
        assert load(toxic).sequence_model.device == "cuda"
        return
    with pytest.raises(TaskError, match="SLURM_JOB_GPUS=0"):
        load(toxic)
    assert load(toxic, device="cpu").sequence_model.device == "cpu"


def test_a_task_labels_its_shard(tmp_path: Path, toxic: Path) -> None:
    run_dir, run = make_run(
        tmp_path, source_posts(50), classifier=options(toxic), checkpoint_rows=10
    )
    code, out, err = task_processes.run(replace(order(run_dir), parallel_tasks=1_000))
    assert (code, out, err) == (
        0,
        "shard 0: 50 posts, 0 already answered\nshard 0: published\n",
        "",
    )
    _, table = output.read(run_dir, run, 0)
    assert table is not None
    expected = tiny_model.plain(toxic, table["text"].to_pylist())
    assert table["prob_toxic"].to_pylist() == pytest.approx([row[0] for row in expected], abs=1e-5)
    assert table["was_truncated"].to_pylist() == [False] * 50
    assert set(table["model"].to_pylist()) == {f"tiny-toxic@{options(toxic)['revision']} float32"}
    assert list(work_path(run_dir, 0).iterdir()) == []


def test_a_node_without_torch_stops_the_run_and_says_what_to_install(
    tmp_path: Path, toxic: Path
) -> None:
    run_dir, _ = make_run(tmp_path, source_posts(3), classifier=options(toxic))
    (tmp_path / "no-torch").mkdir()
    (tmp_path / "no-torch" / "torch.py").write_text(
        "raise ImportError(\"No module named 'torch'\")"
    )
    code, _, _ = task_processes.run(order(run_dir), tmp_path / "no-torch")
    words = last_words.read(run_dir, 1, 0)
    assert words is not None
    assert (code, words.cause, words.stops_run, words.message) == (
        1,
        Cause.REFUSED,
        True,
        "classifier.type transformers needs more on the compute node (No module named 'torch'): "
        "pip install 'hpc-batch-classification[transformers]' in the environment of "
        "cluster.python",
    )


def test_a_folder_whose_files_have_changed_is_rejected(tmp_path: Path) -> None:
    folder = tiny_model.save(tmp_path / "model")
    planned = options(folder)
    tiny_model.model(seed=2).save_pretrained(folder)
    with pytest.raises(TaskError) as raised:
        frozen_classifier.create(planned, ONE_THREAD)
    assert raised.value.cause is Cause.REFUSED
    assert str(raised.value) == (
        f"the model {folder} cannot be used: its files have changed since the run was "
        "planned: restore them, or submit a new run"
    )
    shutil.rmtree(folder)
    with pytest.raises(TaskError) as raised:
        frozen_classifier.create(planned, ONE_THREAD)
    assert raised.value.cause is Cause.REFUSED
    assert str(raised.value) == (
        f"the model {folder} cannot be used: this node has no such folder: put it on a file "
        "system that all nodes see"
    )


def test_the_model_decides_labels_and_its_folder_does_not(tmp_path: Path) -> None:
    folder = tiny_model.save(tmp_path / "here")
    here = options(folder)
    moved = options(Path(shutil.copytree(folder, tmp_path / "there")), device="cpu",
                    max_tokens_per_batch=1_000)  # fmt: skip
    assert frozen_classifier.what_decides(here) == frozen_classifier.what_decides(moved)
    assert options(folder, dtype="bfloat16") != here
    tiny_model.model(seed=2).save_pretrained(folder)
    retrained = options(folder)
    assert frozen_classifier.what_decides(retrained) != frozen_classifier.what_decides(here)
    assert {key for key in here if here[key] != retrained[key]} == {"revision"}
