"""GPUs that a real Slurm hands out, though no program finds one behind their names."""

import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from tests.servers.gguf_model import write_model
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
from tests.slurm.private_cluster.commands import Bench

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

from tests.pipeline.classifiers.transformers import tiny_model

pytestmark = pytest.mark.slurm

POSTS = 40


@pytest.fixture(scope="module")
def cluster_with_gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    with SlurmCluster(tmp_path_factory.mktemp("slurm"), nodes=1, gpus=2) as booted:
        yield booted


@pytest.fixture
def gpu_bench(cluster_with_gpus: SlurmCluster, tmp_path: pathlib.Path) -> Bench:
    return Bench(cluster_with_gpus, tmp_path)


def config(bench: Bench, classifier: dict[str, Any], **cluster: Any) -> pathlib.Path:
    return bench.config(
        posts.json_lines(bench.folder / "p.jsonl", POSTS),
        sharding={"shards": 2},
        classifier=classifier,
        cluster={"mem_gb": 0.9, **cluster},
    )


def local_model(bench: Bench, **keys: Any) -> dict[str, Any]:
    folder = bench.folder / "model"
    if not folder.exists():
        tiny_model.save(folder)
    return {"type": "transformers", "model": "model", "dtype": "float32", **keys}


def labels(bench: Bench, what: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as database:
        return database.execute(f"SELECT {what} FROM labels_test GROUP BY ALL").fetchall()


@pytest.mark.llama
def test_each_tasks_server_gets_the_gpu_of_its_task(gpu_bench: Bench) -> None:
    if os.environ.get("CI") != "true":
        pytest.importorskip("llama_cpp")
    bench = gpu_bench
    (bench.folder / "prompt.txt").write_text("Is the post about politics?")
    model = write_model(bench.folder / "tiny.gguf")
    engine = f"{sys.executable} -m llama_cpp.server --model {model} --host {{host}} --port {{port}}"
    # In a file of its own: the server's log moves into the run's archive of logs.
    seen = f'echo "$CUDA_VISIBLE_DEVICES" > {bench.folder}/gpu-of-$SLURM_ARRAY_TASK_ID; exec '
    classifier = {
        "type": "llm",
        "model": "tiny",
        "prompt": "prompt.txt",
        "labels": [{"name": "is_political", "type": "bool"}],
        "server": {"command": ["sh", "-c", f"{seen}{engine} --n_ctx 2048"]},
    }
    bench.document("submit", "--config", config(bench, classifier, gres="gpu:1"))
    assert bench.document("supervise")["state"] == "complete"
    gpus = [(bench.folder / f"gpu-of-{index}").read_text() for index in range(2)]
    assert sorted(gpus) == ["0\n", "1\n"], "two at a time, one GPU each"
    assert labels(bench, "was_successfully_labeled, count(*)") == [(True, POSTS)]


def test_a_gpu_that_torch_cannot_use_stops_the_run_unless_the_cpu_was_chosen(
    gpu_bench: Bench,
) -> None:
    bench = gpu_bench
    bench.document("submit", "--config", config(bench, local_model(bench), gres="gpu:1"))
    end = bench.document("supervise", code=1)
    assert (end["state"], {shard["state"] for shard in end["shards"]}) == ("blocked", {"blocked"})
    assert any("SLURM_JOB_GPUS=" in shard["message"] for shard in end["shards"])
    again = config(bench, local_model(bench, device="cpu"), gres="gpu:1")
    submitted = lambda: bench.hpc("submit", "--config", again).returncode == 0  # noqa: E731
    wait_for(submitted, 60, "the run that came to nothing is set aside, and its posts are free")
    assert bench.document("supervise")["state"] == "complete"
    assert labels(bench, "was_successfully_labeled, count(*)") == [(True, POSTS)]


def test_a_task_without_a_gpu_leaves_the_nodes_gpus_alone(gpu_bench: Bench) -> None:
    bench = gpu_bench
    bench.document("submit", "--config", config(bench, local_model(bench)))
    assert bench.document("supervise")["state"] == "complete"
    assert labels(bench, "was_successfully_labeled, count(*)") == [(True, POSTS)]


def test_a_run_with_more_gpus_than_a_node_has_is_rejected_and_leaves_nothing_behind(
    gpu_bench: Bench,
) -> None:
    bench = gpu_bench
    done = bench.hpc("submit", "--config", config(bench, local_model(bench), gres="gpu:3"))
    assert done.returncode == 1
    assert "Requested node configuration is not available" in done.stderr
    assert list((bench.folder / "runs").glob("[!.]*")) == []
