"""Perspective and an LLM from tasks of a real array: one quota, one key that is shown nowhere."""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.classifiers.perspective.columns import ATTRIBUTES
from tests.servers.gguf_model import write_model
from tests.servers.llama import LlamaServer
from tests.servers.perspective import Fault, PerspectiveServer, score, spans
from tests.servers.perspective_answers import ServiceError
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

KEY = "AIza-distinctive-key-4711"
ROOT = pathlib.Path(__file__).parents[2]


def unpaced(server: PerspectiveServer, **keys: object) -> dict[str, object]:
    return {
        "type": "unpaced_perspective",
        "base_url": server.url,
        "attributes": ["TOXICITY", "RESPECT_EXPERIMENTAL"],
        **keys,
    }


def files_with(folder: pathlib.Path, secret: str) -> list[pathlib.Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if secret.encode() in path.read_bytes()]


def test_perspective_labels_every_post_once_and_shows_its_key_nowhere(bench: Bench) -> None:
    source = posts.json_lines(bench.folder / "p.jsonl", 400)
    with PerspectiveServer(key=KEY, quota=6000) as server:
        keys = {"type": "perspective", "requests_per_minute": 6000}
        config = bench.config(source, classifier=unpaced(server, **keys))
        bench.env["PERSPECTIVE_API_KEY"] = KEY
        outputs = [
            bench.hpc("submit", "--config", config),
            bench.hpc("supervise"),
            bench.hpc("status"),
        ]
        assert [done.returncode for done in outputs] == [0, 0, 0]
        assert server.paid == 400
        assert server.by_status[429] == 0
    rows = labels(bench, "SELECT text, prob_toxic, prob_respect FROM labels_test ORDER BY uri")
    expected = [
        (text, score(text, "TOXICITY"), score(text, "RESPECT_EXPERIMENTAL"))
        for _, text, _ in posts.rows(400)
    ]
    assert rows == expected
    assert files_with(bench.folder, KEY) == []
    assert all(KEY not in done.stdout + done.stderr for done in outputs)


def test_perspective_stores_attributes_spans_and_responses_and_tolerates_a_missing_attribute(
    bench: Bench,
) -> None:
    """As configs/perspective_all.yaml has them, and what is commented out there as well."""
    source = posts.json_lines(bench.folder / "p.jsonl", 60)
    shipped = yaml.safe_load((ROOT / "configs" / "perspective_all.yaml").read_text())
    unpaced_keys = {"type": "unpaced_perspective", "requests_per_minute": None}
    wanted = {**unpaced_keys, "span_scores": True, "keep_raw": True}
    odd = posts.rows(60)[7][1]
    error = ServiceError(400, f"Empty, says {KEY}.", {"errorType": "COMMENT_EMPTY"}).reply
    empty = Fault(status=400, body=error.body)
    with PerspectiveServer(
        key=KEY,
        quota=6000,
        unsupported=[("FLIRTATION", "en")],
        faults=lambda text, _: empty if text == odd else None,
    ) as server:
        keys = {**shipped["classifier"], **wanted, "base_url": server.url}
        config = bench.config(source, classifier=keys, sharding={"shards": 3})
        bench.env["PERSPECTIVE_API_KEY"] = KEY
        bench.document("submit", "--config", config)
        assert bench.document("supervise")["state"] == "complete"
        assert server.paid == 59
    scores = [name for name in ATTRIBUTES if name != "FLIRTATION"]
    columns = [
        column for name in scores for column in (ATTRIBUTES[name], f"{ATTRIBUTES[name]}_spans")
    ]
    rows = labels(
        bench,
        "SELECT uri, text, attributes_not_supported, prob_flirtation, prob_flirtation_spans, "
        f"{', '.join(columns)} FROM labels_test WHERE reason IS NULL ORDER BY uri",
    )
    fine = [row[:2] for row in posts.rows(60) if row[1] != odd]
    assert [(uri, text) for uri, text, *_ in rows] == fine
    assert labels(bench, "SELECT text, reason FROM labels_test WHERE reason IS NOT NULL") == [
        (odd, "comment_empty")
    ]
    for _, text, lacking, flirtation, flirtation_spans, *found in rows:
        assert (lacking, flirtation, flirtation_spans) == ("FLIRTATION", None, None)
        expected = [(score(text, name), json.dumps(spans(text, name), separators=(",", ":")))
                    for name in scores]  # fmt: skip
        assert list(zip(found[::2], found[1::2], strict=True)) == expected
    responses: dict[str, Any] = {}
    (run,) = (path.parent for path in (bench.folder / "runs").glob("*/manifest.json"))
    for index in range(3):
        name = f"{index:05d}"
        output = pq.read_schema(run / "outputs" / f"{name}.parquet")
        publication = output.metadata[b"hpc.publication"].decode()
        kept = pq.read_table(run / "raw" / f"{name}-{publication}.parquet").to_pylist()
        responses |= {row["uri"]: json.loads(row["response"]) for row in kept}
    (error_uri,) = responses.keys() - {uri for uri, *_ in rows}
    assert responses.pop(error_uri)["error"]["message"] == "Empty, says [key]."
    assert len(responses) == 59
    for uri, answer in responses.items():
        assert (answer["clientToken"], len(answer["attributeScores"])) == (uri, 20)
    assert KEY not in str(responses)
    assert len(list((run / "raw").iterdir())) == 3
    assert files_with(bench.folder, KEY) == []


def test_a_rejected_key_blocks_its_shards_with_the_reason_and_costs_nothing(bench: Bench) -> None:
    source = posts.json_lines(bench.folder / "p.jsonl", 40)
    with PerspectiveServer(key="another key") as server:
        config = bench.config(source, classifier=unpaced(server))
        bench.env["PERSPECTIVE_API_KEY"] = KEY
        bench.document("submit", "--config", config)
        end = bench.document("supervise", code=1)
        assert end["state"] == "blocked"
        assert {(s["state"], s["cause"], s["attempts"]) for s in end["shards"]} == {
            ("blocked", "refused", 1)
        }
        assert server.paid == 0
        server.key = KEY
        bench.document("resubmit", "--force")
        assert bench.document("supervise")["state"] == "complete"
    assert files_with(bench.folder, KEY) == []


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    if os.environ.get("CI") != "true":
        pytest.importorskip("llama_cpp")
    model = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_model(model)
    with LlamaServer(model) as server:
        yield server


@pytest.mark.llama
def test_an_llm_gives_each_post_a_declared_label_or_a_reason(
    bench: Bench, llama: LlamaServer
) -> None:
    (bench.folder / "prompt.txt").write_text("Is the post about politics?")
    classifier = {
        "type": "llm",
        "base_url": llama.base_url,
        "model": "tiny",
        "prompt": "prompt.txt",
        "labels": [{"name": "is_political", "type": "bool"}],
        "max_in_flight": 2,
        "price": {"prompt": 1.0, "completion": 2.0},
        "scores": True,
        "top_logprobs": 400,
        "posts_per_prompt": 4,
    }
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 24),
        sharding={"shards": 2},
        classifier=classifier,
        cluster={"max_parallel": 2, "cpus": 1},
    )
    run_dir = pathlib.Path(bench.document("submit", "--config", config)["run_dir"])
    assert bench.document("supervise")["state"] == "complete"
    rows = labels(
        bench,
        "SELECT was_successfully_labeled, reason, is_political, llm_model_name, "
        "is_political_prob > 0 AND is_political_prob < 1 FROM labels_test",
    )
    assert len(rows) == 24
    for labeled, reason, value, name, has_share in rows:
        assert (labeled, reason is None, value is None, bool(name), has_share) in (
            (True, True, False, True, True),
            (False, False, True, False, None),
        )
    assert any(labeled for labeled, *_ in rows)
    used = bench.document("status")["usage"]
    assert labels(
        bench,
        "SELECT sum(llm_prompt_tokens), sum(llm_completion_tokens), min(llm_prompt_tokens) > 0, "
        "count(llm_prompt_tokens) FROM labels_test",
    ) == [(used["prompt_tokens"], used["completion_tokens"], True, 24)]
    paid = (used["prompt_tokens"] + 2 * used["completion_tokens"]) / 1_000_000
    assert (used["cost"], used["cost_estimate"]) == (pytest.approx(paid), pytest.approx(paid))
    assert used["currency"] == "USD"
    (note,) = (run_dir / "notes").iterdir()
    assert json.loads(note.read_text())["mode"] == "json_object"


def labels(bench: Bench, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(bench.folder / "labels.duckdb"), read_only=True) as database:
        return database.execute(query).fetchall()


def test_posts_wait_while_the_service_throttles_and_none_gets_a_score(bench: Bench) -> None:
    """It answers 429 after 429, and not one post is lost."""
    source = posts.json_lines(bench.folder / "p.jsonl", 60)
    minute = [0.0]
    with PerspectiveServer(key=KEY, quota=20, clock=lambda: minute[0]) as server:
        config = bench.config(source, classifier=unpaced(server), sharding={"shards": 2})
        bench.env["PERSPECTIVE_API_KEY"] = KEY
        bench.document("submit", "--config", config)
        wait_for(lambda: server.by_status[429] > 0, 60, "the service has refused")
        minute[0] = 60.0
        wait_for(lambda: server.paid > 20, 90, "the next minute's quota is used")
        server.quota = None
        assert bench.document("supervise")["state"] == "complete"
        assert server.paid == 60
    assert labels(bench, "SELECT count(*) FROM labels_test WHERE prob_toxic IS NULL") == [(0,)]
