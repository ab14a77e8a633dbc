"""What LLM runs cost: from the server's replies into status and database, and in nobody's way."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hpc.run.model.run import Run
from pipeline.run_files.manifest import output_path
from tests.hpc.cli_bench import outcome
from tests.hpc.growing_backlog import GrowingBacklog, post
from tests.pipeline import run_builders
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion

COUNTED = ("llm_prompt_tokens", "llm_completion_tokens", "llm_cached_tokens")
USED = {
    "prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 600},
}  # fmt: skip
PRICE = {"prompt": 10.0, "completion": 100.0, "cached": 5.0, "currency": "USD"}
# Of one answer: 400 tokens of the prompt in full, 600 cached ones, 10 of the answer.
COST = (400 * 10 + 600 * 5 + 10 * 100) / 1e6


class Server(OpenAIStub):
    """Labels, and says `usage` beside it; from request `refuses_from` on it wants a key."""

    def __init__(self) -> None:
        super().__init__(self._reply)
        self.usage: Any = USED
        self.refuses_from = 10**9

    def _reply(self, body: dict[str, Any], nth: int) -> Reply:
        if nth >= self.refuses_from:
            return Reply(status=401, body={"error": {"message": "no such key"}})
        text = json.loads(body["messages"][1]["content"])["post"]
        return completion(json.dumps({"even": text[-1] in "02468"}), usage=self.usage)


@pytest.fixture
def usage_server() -> Iterator[Server]:
    with Server() as running:
        yield running


Make = Callable[..., GrowingBacklog]


@pytest.fixture
def llm_backlog(tmp_path: Path, usage_server: Server) -> Make:
    (tmp_path / "prompt.txt").write_text("Is the number even?")

    def configured(
        growing: GrowingBacklog | None = None,
        *,
        name: str = "test",
        sections: dict[str, Any] | None = None,
        **classifier: Any,
    ) -> GrowingBacklog:
        growing = growing or GrowingBacklog(tmp_path)
        growing.bench.config(
            name=name,
            classifier={
                "type": "llm", "base_url": usage_server.base_url, "model": "tiny",
                "prompt": "prompt.txt",
                "labels": [{"name": "even", "type": "bool"}], "structured_output": "none",
                "max_in_flight": 1, "price": PRICE, **classifier,
            },
            storage={
                "run_root": str(tmp_path / "runs"), "database": str(tmp_path / "labels.duckdb"),
            },
            **(sections or {}),
        )  # fmt: skip
        return growing

    return configured


def usage(growing: GrowingBacklog, *arguments: object, code: int = 0) -> Any:
    return growing.bench.document("status", *arguments, code=code)["usage"]


def as_before_it_was_counted(run: Run, index: int) -> None:
    """An output as a version without counts has published it."""
    path = output_path(run.folder, index)
    table = pq.read_table(path, partitioning=None)
    newer = (b"hpc.usage", b"hpc.rows_sha256")
    footer = {k: v for k, v in table.schema.metadata.items() if k not in newer}
    pq.write_table(table.drop_columns(list(COUNTED)).replace_schema_metadata(footer), path)


def test_a_run_reports_what_it_cost(llm_backlog: Make) -> None:
    growing = llm_backlog()
    growing.arrive(*(post(number, number) for number in range(1, 5)))
    assert outcome(growing.bench.submit()) == (0, "")
    assert usage(growing) == {
        "prompt_tokens": 4000,
        "cached_tokens": 2400,
        "completion_tokens": 40,
        "tokens_per_second": None,
        "requests": None,
        "cost": pytest.approx(4 * COST),
        "cost_estimate": pytest.approx(4 * COST),
        "currency": "USD",
    }
    assert growing.query(f"SELECT DISTINCT {', '.join(COUNTED)} FROM labels_test") == [
        (1000, 10, 600)
    ]


def test_a_server_that_reports_no_tokens_has_no_usage(
    llm_backlog: Make, usage_server: Server
) -> None:
    usage_server.usage = None
    growing = llm_backlog()
    growing.arrive(post(1, 1), post(2, 2))
    assert outcome(growing.bench.submit()) == (0, "")
    assert usage(growing) is None
    assert growing.query(f"SELECT DISTINCT {', '.join(COUNTED)} FROM labels_test") == [(None,) * 3]


def test_the_cost_of_an_interrupted_task_stays_counted(
    llm_backlog: Make, usage_server: Server
) -> None:
    usage_server.refuses_from = 5  # the fixed sentence comes first
    growing = llm_backlog(sections={"sharding": {"shards": 1}, "checkpoint": {"rows": 2}})
    growing.arrive(*(post(number, number) for number in range(1, 8)))
    assert growing.bench.submit().returncode == 1
    assert usage(growing, code=1) == {
        "prompt_tokens": 3000,
        "cached_tokens": 1800,
        "completion_tokens": 30,
        "tokens_per_second": None,
        "requests": None,
        "cost": pytest.approx(3 * COST),
        "cost_estimate": pytest.approx(7 * COST),
        "currency": "USD",
    }
    usage_server.refuses_from = 10**9
    assert growing.bench.hpc("resubmit", "--force").returncode == 0
    growing.bench.hpc("supervise")
    assert usage(growing)["prompt_tokens"] == 7000
    # The key was refused once, each attempt asked the fixed sentence, and no post was asked twice.
    assert usage_server.requests == 7 + 1 + 2


def test_a_run_that_was_under_way_during_an_update_is_gathered_completely(
    llm_backlog: Make,
) -> None:
    growing = llm_backlog()
    growing.arrive(*(post(number, number) for number in range(1, 5)))
    run, _ = growing.submit()
    assert run
    for index in (0, 1):
        assert growing.work(run, index, None)
    as_before_it_was_counted(run, 0)
    growing.gather(run)
    assert growing.query(
        f"SELECT shard_index, {', '.join(COUNTED)}, count(even) FROM labels_test GROUP BY ALL "
        "ORDER BY 1"
    ) == [(0, None, None, None, 2), (1, 1000, 10, 600, 2)]
    assert usage(growing)["prompt_tokens"] == 2000
    # Half of the posts told what they cost: all of them will have cost twice that.
    assert usage(growing)["cost_estimate"] == pytest.approx(4 * COST)


def test_a_table_of_an_older_version_gets_the_usage_columns_and_its_name_stays_usable(
    llm_backlog: Make,
) -> None:
    growing = llm_backlog(price=None)
    growing.arrive(post(1, 1), post(2, 2))
    before, _ = growing.submit()
    assert before
    for index in (0, 1):
        assert growing.work(before, index, None)
        as_before_it_was_counted(before, index)
    growing.gather(before)
    assert growing.query("SELECT column_name FROM information_schema.columns "
                     "WHERE table_name = 'labels_test' AND column_name LIKE 'llm%'"
                     ) == [("llm_model_name",)]  # fmt: skip
    llm_backlog(growing)
    growing.arrive(post(3, 3), post(4, 4))
    after, _ = growing.submit()
    assert after and after.manifest.config_hash == before.manifest.config_hash
    for index in (0, 1):
        assert growing.work(after, index, None)
    growing.gather(after)
    rows = f"SELECT uri, {', '.join(COUNTED)} FROM labels_test ORDER BY uri"
    assert growing.query(rows) == [
        (run_builders.uri(1), None, None, None),
        (run_builders.uri(2), None, None, None),
        (run_builders.uri(3), 1000, 10, 600),
        (run_builders.uri(4), 1000, 10, 600),
    ]
    # Exit code 0: no row differs from what its output says, with or without the columns.
    audit = growing.bench.document("audit", "--config", growing.bench.path)
    rebuilt = growing.bench.document("gather", "--rebuild")
    assert rebuilt["rows_after"] == 4
    assert growing.query(rows)[2:] == [
        (run_builders.uri(3), 1000, 10, 600),
        (run_builders.uri(4), 1000, 10, 600),
    ]
    assert growing.bench.document("audit", "--config", growing.bench.path) == audit


def planned(growing: GrowingBacklog) -> tuple[float | None, str | None]:
    document = growing.bench.document("submit", "--config", growing.bench.path, "--dry-run")
    return document["cost_estimate"], document["currency"]


def test_a_plan_estimates_its_cost_once_earlier_posts_have_reported_their_tokens(
    llm_backlog: Make, usage_server: Server
) -> None:
    growing = llm_backlog()
    short = post(3, 3)._replace(text="meh")
    growing.arrive(post(1, 1), post(2, 2), short)
    assert planned(growing)[0] is None  # nobody knows yet
    assert growing.bench.submit().returncode == 0
    asked = usage_server.requests
    growing.arrive(*(post(number, number) for number in range(4, 104)))
    assert planned(growing) == (pytest.approx(100 * COST), "USD")
    llm_backlog(growing, price={**PRICE, "prompt": 20.0, "cached": 10.0, "currency": "EUR"})
    assert planned(growing) == (pytest.approx(1.50), "EUR")
    llm_backlog(growing, price=None)
    assert planned(growing)[0] is None
    llm_backlog(growing, name="another")
    assert planned(growing)[0] is None
    assert usage_server.requests == asked


def test_superseded_labels_keep_their_cost(llm_backlog: Make) -> None:
    growing = llm_backlog()
    growing.arrive(post(1, 1), post(2, 2))
    assert growing.bench.submit().returncode == 0
    llm_backlog(growing, model="larger")
    assert growing.bench.submit("--supersede").returncode == 0
    for table in ("labels_test", "superseded_test"):
        assert growing.query(f"SELECT sum(llm_prompt_tokens), count(*) FROM {table}") == [(2000, 2)]


def test_compare_compares_labels_and_ignores_costs(llm_backlog: Make) -> None:
    growing = llm_backlog(name="one")
    growing.arrive(*(post(number, number) for number in range(1, 9)))
    assert growing.bench.submit().returncode == 0
    llm_backlog(growing, name="other", model="larger")
    assert growing.bench.submit().returncode == 0
    report = growing.bench.document("compare", "one", "other", "--resamples", 5)
    assert [pair["a"] for pair in report["comparisons"]] == ["even"]
    assert report["not_compared"] == []
