"""`classifier.request` reaches the server with every request, and only what a request can have."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create, what_decides
from pipeline.classifiers.llm.options import LlmOptions
from pipeline.classifiers.llm.request_fields import RESERVED, check_fields, find_rejected_field
from pipeline.config.keys import Wrong
from pipeline.errors import Cause, InputError, TaskError
from pipeline.limits import REQUEST_BYTES, REQUEST_LEVELS
from pipeline.model import JsonObject
from tests.pipeline.classifiers.classifier_setup import KEY, answers, frozen_options, posts
from tests.pipeline.classifiers.llm.fixed_sentence import about_posts
from tests.servers.bound import bound, mode_of
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion, error

pytestmark = pytest.mark.usefixtures("quick_retries")

CIVIC: list[dict[str, Any]] = [{"name": "civic", "type": "bool"}]
NESTED: JsonObject = {
    "seed": 7,
    "top_p": 0.95,
    "stop": None,
    "service_tier": "flex",
    "reasoning_effort": "low",
    "chat_template_kwargs": {"enable_thinking": False},
    "provider": {"order": ["one", "two"], "allow_fallbacks": False},
    "logit_bias": {"50256": -100},
    "transforms": [["é 🦋", {"a": []}], {}],
}


def options(server: OpenAIStub, folder: Path, **values: Any) -> JsonObject:
    (folder / "prompt.txt").write_text("You label posts.")
    own = {"type": "llm", "base_url": server.base_url, "model": "tiny", "prompt": "prompt.txt",
           "labels": CIVIC, "max_tokens": 10}  # fmt: skip
    return frozen_options({**own, **values}, folder)


def labels(body: dict[str, Any], nth: int) -> Reply:
    if mode_of(body) != "none":
        return bound(body)
    return completion('{"civic": true}')


def test_every_request_has_the_fields_probes_and_groups_of_posts_included(tmp_path: Path) -> None:
    with OpenAIStub(labels) as server:
        frozen = options(server, tmp_path, request=NESTED, scores=True, posts_per_prompt=2)
        answers(create(frozen, TaskShare()), posts("a", "b", "c"))
    assert len(server.bodies) > 4  # probes, a group of two, and what was sent alone
    for body in server.bodies:
        assert {name: body.get(name) for name in NESTED} == NESTED
        assert body["model"] == "tiny"


def test_without_fields_a_request_is_what_it_was(tmp_path: Path) -> None:
    with OpenAIStub(labels) as server:
        frozen = options(server, tmp_path, structured_output="none")
        assert "request" not in frozen
        answers(create(frozen, TaskShare()), posts("a"))
    (body,) = about_posts(server)
    assert list(body) == ["model", "messages", "temperature", "max_tokens"]


def test_the_fields_are_part_of_what_defines_a_label(tmp_path: Path) -> None:
    with OpenAIStub(labels) as server:
        plain, seeded = (options(server, tmp_path, request=r) for r in ({}, {"seed": 7}))
    assert what_decides(seeded) == {**what_decides(plain), "request": {"seed": 7}}


def test_the_manifest_gives_back_the_same_fields(tmp_path: Path) -> None:
    with OpenAIStub(labels) as server:
        frozen = options(server, tmp_path, request=NESTED)
    del frozen["type"]
    again = LlmOptions.from_manifest(json.loads(json.dumps(frozen)), source="manifest.json")
    assert again.to_json() == frozen
    assert json.dumps(again.to_json()["request"]) == json.dumps(NESTED)  # also the order


def test_a_note_is_reused_for_the_same_fields_only(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with OpenAIStub(labels) as server:
        counts = []
        for fields in ({"seed": 7}, {"seed": 7}, {"seed": 8}, {}):
            before = server.requests
            frozen = options(server, tmp_path, request=fields)
            answers(create(frozen, TaskShare(notes=notes)), posts("a"))
            counts.append(server.requests - before)
    assert counts == [4, 1, 4, 4]
    assert len(list(notes.iterdir())) == 3


@pytest.mark.parametrize("structured_output", ["auto", "none"])
@pytest.mark.parametrize(
    "body",
    [
        error("Unknown parameter.", "unknown_parameter", param="provider.order"),
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "provider", "order"], "msg": "x"}]},
        error("Unrecognized request argument supplied: 'provider.order'", None),
        {"error": "json: unknown field `provider.order`"},
        {"message": 'property "provider.order" is unsupported'},
    ],
)
def test_a_server_that_rejects_a_field_ends_the_task_at_once_and_the_field_is_named(
    tmp_path: Path, structured_output: str, body: JsonObject
) -> None:
    def rejects(asked: dict[str, Any], nth: int) -> Reply:
        return Reply(status=400, body=body) if "provider" in asked else labels(asked, nth)

    with OpenAIStub(rejects) as server:
        frozen = options(server, tmp_path, request=NESTED, structured_output=structured_output)
        with pytest.raises(TaskError) as raised:
            answers(create(frozen, TaskShare()), posts("a", "b", "c"))
    assert raised.value.cause is Cause.REFUSED
    assert "classifier.request.provider.order" in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [
        None, [], "seed", {}, {"error": None}, {"error": {"param": None, "message": None}},
        {"detail": [None, {}, {"loc": "seed"}, {"loc": [0, None]}]},
        error("The seed of all evil", None), error("'seeds' is wrong", None, param="messages"),
    ],
)  # fmt: skip
def test_an_error_that_names_no_field_names_none(body: Any) -> None:
    assert find_rejected_field(body, {"seed": 7}) == ""


@pytest.mark.parametrize("name", [*RESERVED, "Model", "MESSAGES", "Max_Tokens", "Stream"])
def test_a_field_that_the_program_decides_is_rejected(name: str) -> None:
    with pytest.raises(Wrong) as raised:
        check_fields({"seed": 7, name: False})
    assert raised.value.key == f"request.{name}"


def test_the_program_sets_no_field_that_could_be_added_too(tmp_path: Path) -> None:
    """Whatever it sends, in any mode, is among the reserved fields."""
    sent: set[str] = set()
    for mode in ("json_schema", "json_object", "structured_outputs", "none"):
        with OpenAIStub(labels) as server:
            frozen = options(server, tmp_path, structured_output=mode, scores=True)
            answers(create(frozen, TaskShare()), posts("a"))
            sent |= {name for body in server.bodies for name in body}
    assert sent - RESERVED.keys() == set()
    assert len(sent) == 8


@pytest.mark.parametrize(
    "fields",
    [
        {"api_key": "x"},
        {"apiKey": "x"},
        {"X-Api-Key": "x"},
        {"Authorization": "x"},
        {"extra_headers": {"authorization": "x"}},
        {"provider": [{"deep": {"client_secret": "x"}}]},
        {"access_token": "x"},
        {"hf-token": "x"},
        {"password": "x"},
        {"headers": ["Bearer abcdefghijkl"]},
        {"user": "sk-" + "a1" * 12},
        {"user": "AIza" + "a1" * 12},
    ],
)
def test_what_looks_like_a_secret_is_rejected_and_not_shown(fields: JsonObject) -> None:
    with pytest.raises(Wrong) as raised:
        check_fields(fields)
    assert "a1a1" not in raised.value.problem
    assert "abcdefgh" not in raised.value.problem


def test_names_that_only_resemble_secrets_are_accepted() -> None:
    check_fields(
        {
            "prompt_cache_key": "posts", "thinking_token_budget": 0, "skip_special_tokens": True,
            "return_token_ids": False, "min_tokens": 1, "author": "me", "api_version": "2",
            "metadata": {"key": "value", "keys": []}, "top_k": 5, "user": "sk-short",
        }
    )  # fmt: skip


def test_the_api_key_itself_is_rejected_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_KEY", KEY)
    with OpenAIStub(labels) as server:
        for values in ({"user": f"me {KEY}"}, {"nested": [{"a": KEY}]}, {KEY: 1}):
            with pytest.raises(InputError) as raised:
                options(server, tmp_path, api_key_env="LLM_KEY", request=values)
            assert KEY not in str(raised.value)


def deep(levels: int) -> JsonObject:
    return {"a": deep(levels - 1)} if levels else {}


def test_depth_and_size_have_limits() -> None:
    check_fields(deep(REQUEST_LEVELS - 1))
    check_fields({"a": "é" * (REQUEST_BYTES // 2 - 10)})
    for wrong in (deep(REQUEST_LEVELS), {"a": "é" * (REQUEST_BYTES // 2)}):
        with pytest.raises(Wrong):
            check_fields(wrong)


def test_a_value_at_the_limits_can_be_read_back_from_a_manifest(tmp_path: Path) -> None:
    with OpenAIStub(labels) as server:
        at_limit = {**deep(REQUEST_LEVELS - 1), "most": 2**64 - 1, "least": -(2**63)}
        frozen = options(server, tmp_path, request=at_limit)
    del frozen["type"]
    again = LlmOptions.from_manifest(json.loads(json.dumps(frozen)), source="manifest.json")
    assert again.request == at_limit


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
NO_JSON = st.sampled_from([float("nan"), float("inf"), -float("inf"), b"x", {"a"}, 2**64, ("a", 1),
                           -(2**63) - 1]) | st.dates() | st.datetimes() | st.times()  # fmt: skip


@given(st.dictionaries(st.text("xyz", min_size=1, max_size=3), JSON, max_size=4))
def test_whatever_is_json_is_accepted(fields: dict[str, Any]) -> None:
    check_fields(fields)


@given(JSON, NO_JSON)
def test_what_is_not_json_is_rejected_wherever_it_lies(value: Any, wrong: Any) -> None:
    places: list[tuple[Mapping[str, Any], str]] = [
        ({"x": wrong}, "request.x"),
        ({"x": {"y": [value, wrong]}}, "request.x.y[1]"),
        ({"x": [[{"y": value, "z": wrong}]]}, "request.x[0][0].z"),
    ]
    for fields, path in places:
        with pytest.raises(Wrong) as raised:
            check_fields(fields)
        assert raised.value.key == path


@pytest.mark.parametrize("name", [50256, True, None, 1.5, "", " "])
def test_a_key_that_is_no_text_is_rejected_with_its_place(name: object) -> None:
    with pytest.raises(Wrong) as raised:
        check_fields({"logit_bias": {name: -100}})
    assert raised.value.key == "request.logit_bias"
