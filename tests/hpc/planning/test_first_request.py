"""`submit --dry-run` shows the first request of the run, as the service then gets it."""

import json
from typing import Any

import pytest

from tests.hpc.cli_bench import Bench, outcome
from tests.pipeline import run_builders
from tests.servers.bound import bound, mode_of
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion
from tests.servers.perspective import ANALYZE, PerspectiveServer

KEY = "k3y-of-the-first-request"
QUESTION = "The sun is out today."


def labels(body: dict[str, Any], nth: int) -> Reply:
    return completion('{"civic": true}') if mode_of(body) == "none" else bound(body)


def configure(bench: Bench, stub: OpenAIStub, /, *texts: str, **classifier: Any) -> None:
    (bench.folder / "prompt.txt").write_text("Is it civic?")
    own = {"type": "llm", "base_url": stub.base_url, "model": "m", "prompt": "prompt.txt",
           "labels": [{"name": "civic", "type": "bool"}], "api_key_env": "LLM_KEY"}  # fmt: skip
    bench.config(classifier={**own, **classifier}, sharding={"shards": 1})
    rows = run_builders.posts(len(texts))
    bench.backlog([post._replace(text=text) for post, text in zip(rows, texts, strict=True)])


def asked(body: dict[str, Any]) -> Any:
    return json.loads(body["messages"][1]["content"])


def is_probe(body: dict[str, Any]) -> bool:
    return bool(asked(body).get("post") == QUESTION)


def preview(bench: Bench, *arguments: object) -> dict[str, Any]:
    done = bench.hpc("submit", "--config", bench.path, "--dry-run", "--json", *arguments,
                     env={"LLM_KEY": KEY})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert KEY not in done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"structured_output": "none"},
        {"structured_output": "json_object", "temperature": None},
        {"request": {"seed": 7, "chat_template_kwargs": {"enable_thinking": False}}},
        {"posts_per_prompt": 3, "max_in_flight": 1},
    ],
)
def test_the_first_request_is_what_the_server_then_gets(
    bench: Bench, options: dict[str, Any]
) -> None:
    with OpenAIStub(labels) as server:
        configure(bench, server, "ab", "🦋 \u202eVote!\x1b[2J", " \u200b", "two of them", **options)
        document = preview(bench)
        assert server.requests == 0
        done = bench.hpc("submit", "--config", bench.path, env={"LLM_KEY": KEY})
        assert outcome(done)[1] == ""
        sent = [body for body in server.bodies if not is_probe(body)]
        url = f"{server.base_url}/chat/completions"
    first = document["first_request"]
    about = asked(first)["posts"][0]["post"] if options.get("posts_per_prompt") else None
    assert (about or asked(first)["post"]) == "🦋 \u202eVote!\x1b[2J"
    assert first in sent
    assert document["first_request_url"] == url


def test_a_group_is_no_larger_than_the_posts_that_there_are(bench: Bench) -> None:
    with OpenAIStub(labels) as server:
        configure(bench, server, "first of them", "second", "third", posts_per_prompt=5)
        assert len(asked(preview(bench)["first_request"])["posts"]) == 3
        (alone,) = (asked(preview(bench, "--limit", 1)["first_request"]),)
    assert alone == {"post": "first of them"}


def test_a_run_that_sends_nothing_has_no_first_request(bench: Bench) -> None:
    with OpenAIStub(labels) as server:
        configure(bench, server, "ab", " \u200b")
        document = preview(bench)
    assert (document["posts"], document["first_request"]) == (2, None)
    bench.config(posts=3)
    assert preview(bench)["first_request"] is None  # a classifier without a service


def test_a_server_of_the_tasks_own_has_a_path_and_no_address(bench: Bench) -> None:
    with OpenAIStub(labels) as server:
        command = ["serve", "--port", "{port}"]
        configure(
            bench, server, "a post", base_url=None, server={"command": command, "base_path": "/api"}
        )
        document = preview(bench)
    assert document["first_request_url"] == "/api/chat/completions"
    assert asked(document["first_request"]) == {"post": "a post"}


def test_the_first_request_to_perspective_is_what_the_service_then_gets(bench: Bench) -> None:
    bench.backlog([run_builders.posts(1)[0]._replace(text="what a day")])
    with PerspectiveServer(key=KEY, path="/score") as server:
        bench.config(
            classifier={"type": "unpaced_perspective", "base_url": server.url, "path": "/score",
                        "attributes": ["TOXICITY", "SPAM"], "span_scores": True},
            sharding={"shards": 1},
        )  # fmt: skip
        env = {"PERSPECTIVE_API_KEY": KEY}
        done = bench.hpc("submit", "--config", bench.path, "--dry-run", "--json", env=env)
        document = json.loads(done.stdout)
        assert server.requests == 0
        assert bench.hpc("submit", "--config", bench.path, env=env).returncode == 0
        assert server.last_request is not None
        assert json.loads(server.last_request.body) == document["first_request"]
        assert document["first_request_url"] == f"{server.url}/score"
    assert KEY not in done.stdout + done.stderr
    assert ANALYZE not in done.stdout


def test_the_screen_shows_the_json_without_the_key_and_without_control_characters(
    bench: Bench,
) -> None:
    with OpenAIStub(labels) as server:
        text = "\x1b[31mred \u202etxet\x9b" + "x" * 5000
        configure(bench, server, text, structured_output="none", request={"user": "\u202eme"})
        done = bench.hpc("submit", "--config", bench.path, "--dry-run", env={"LLM_KEY": KEY})
    assert outcome(done) == (0, "")
    assert KEY not in done.stdout
    assert not {"\x1b", "\u202e", "\x9b"} & set(done.stdout)
    assert "\\u202eme" in done.stdout
    assert "x" * 700 not in done.stdout
    assert '"model": "m"' in done.stdout
