"""A server that fails at a field of the request is told from one that is down."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.llm.classifier import Llm
from pipeline.classifiers.llm.failing_settings import find_failing_settings
from pipeline.errors import Cause, TaskError
from pipeline.model import JsonObject
from tests.pipeline.classifiers.classifier_setup import answers, options_of, posts
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion

pytestmark = pytest.mark.usefixtures("quick_retries")

GOOD = '{"civic": true}'
FAILED = Reply(status=500, body={"error": {"message": "internal server error"}})


def asker(server: OpenAIStub, folder: Path, **values: Any) -> Llm:
    (folder / "prompt.txt").write_text("Label.")
    keys = {"base_url": server.base_url, "model": "tiny", "prompt": "prompt.txt",
            "labels": [{"name": "civic", "type": "bool"}], "structured_output": "none",
            **values}  # fmt: skip
    return Llm(options_of("llm", keys, folder), TaskShare(notes=folder / "notes"))


def fault(server: OpenAIStub, folder: Path, **values: Any) -> TaskError:
    with pytest.raises(TaskError) as raised:
        answers(asker(server, folder, **values), posts("a"))
    return raised.value


def fails_at(name: str, failure: Reply = FAILED) -> Any:
    return lambda body, nth: failure if name in body else completion(GOOD)


@pytest.mark.parametrize(
    ("field", "values", "setting"),
    [
        ("seed", {"request": {"seed": "x"}}, "classifier.request.seed"),
        ("top_k", {"request": {"top_p": 0.5, "top_k": "x"}}, "classifier.request.top_k"),
        ("temperature", {}, "classifier.temperature"),
        (
            "response_format",
            {"structured_output": "json_schema", "request": {"top_p": 0.5}},
            "classifier.structured_output",
        ),
    ],
)
@pytest.mark.parametrize(
    "failure", [FAILED, Reply(status=503, body="<html>"), Reply(body="no JSON"), Reply(cut=True)]
)
def test_a_field_at_which_the_server_fails_ends_the_run_and_is_named(
    tmp_path: Path, field: str, values: JsonObject, setting: str, failure: Reply
) -> None:
    with OpenAIStub(fails_at(field, failure)) as server:
        error = fault(server, tmp_path, **values)
    assert (error.cause, error.stops_run) == (Cause.REFUSED, True)
    assert setting in str(error)


def test_a_server_that_is_down_is_no_fault_of_a_field(tmp_path: Path) -> None:
    with OpenAIStub(lambda *_: FAILED) as server:
        error = fault(server, tmp_path, request={"seed": 1})
    assert (error.cause, error.stops_run) == (Cause.UNAVAILABLE, False)


def test_an_outage_that_ends_during_the_comparison_is_no_fault_of_a_field(tmp_path: Path) -> None:
    # Six tries and the one after the probe; then everything is answered.
    with OpenAIStub(lambda _, nth: FAILED if nth <= 7 else completion(GOOD)) as server:
        error = fault(server, tmp_path, request={"seed": 1})
        assert error.cause is Cause.UNAVAILABLE
        assert len(server.bodies) == 9
        assert answers(asker(server, tmp_path, request={"seed": 1}), posts("a"))["a"].values


def test_fields_that_fail_only_together_are_all_named() -> None:
    request = {"model": "m", "messages": [], "max_tokens": 9, "a": 1, "b": 2}

    def is_answered(asked: JsonObject) -> bool:
        return "a" not in asked and "b" not in asked

    names = ("classifier.request.a", "classifier.request.b")
    assert find_failing_settings(request, is_answered) == names


def test_fields_of_one_setting_are_left_out_together() -> None:
    request = {"model": "m", "messages": [], "logprobs": True, "top_logprobs": 5, "seed": 1}

    def is_answered(asked: JsonObject) -> bool:
        return "logprobs" not in asked and "top_logprobs" not in asked

    assert find_failing_settings(request, is_answered) == ("classifier.scores",)


def test_nothing_is_asked_about_a_request_that_has_nothing_to_leave_out() -> None:
    request = {"model": "m", "messages": [], "max_completion_tokens": 9}
    assert find_failing_settings(request, lambda _: pytest.fail("asked")) == ()
