"""One post's rejection is that post's; a rejection that the fixed sentence gets ends the run."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.llm.classifier import Llm
from pipeline.errors import Cause, TaskError
from pipeline.model import LabelValue
from tests.pipeline.classifiers.classifier_setup import answers, options_of, posts
from tests.pipeline.classifiers.llm.fixed_sentence import is_fixed_sentence, labels_fixed_sentence
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion, error
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("quick_retries")

GOOD = '{"civic": true}'
VALUES: dict[str, LabelValue] = {"civic": True, "llm_model_name": "stub"}
Answer = Callable[[dict[str, Any], int], Reply]


def asker(server: OpenAIStub, folder: Path, **values: Any) -> Llm:
    (folder / "prompt.txt").write_text("Label.")
    given = {"base_url": server.base_url, "model": "tiny", "prompt": "prompt.txt",
             "labels": [{"name": "civic", "type": "bool"}], "structured_output": "none",
             **values}  # fmt: skip
    return Llm(options_of("llm", given, folder), TaskShare(notes=folder / "notes"))


def flags(reply: Reply, word: str = "bad") -> Answer:
    """Reject posts with this word, and label all others and the fixed sentence."""

    def answer(body: dict[str, Any], nth: int) -> Reply:
        return reply if word in body["messages"][1]["content"] else completion(GOOD)

    return answer


STATUSES = [
    302, 307, 400, 403, 404, 405, 406, 410, 411, 412, 413, 414, 415, 418, 421, 422, 423, 424, 426,
    428, 431, 444, 451, 499,
]  # fmt: skip


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", ["<html>Blocked: a bad post", {"detail": "a bad post"}])
def test_whatever_status_rejects_one_post_is_its_reason(
    tmp_path: Path, status: int, body: Any
) -> None:
    with OpenAIStub(flags(Reply(status=status, body=body))) as server:
        found = answers(asker(server, tmp_path), posts("bad", "fine"))
    assert (found["bad"].values, found["bad"].reason) == (None, f"http_{status}")
    assert found["fine"].values == VALUES


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_that_the_fixed_sentence_gets_too_ends_the_run(
    tmp_path: Path, status: int
) -> None:
    """The server changes after it has labeled: what it answered before proves nothing."""
    gone = threading.Event()

    def answer(body: dict[str, Any], nth: int) -> Reply:
        if gone.is_set():
            return Reply(status=status, body="<html>")
        return completion(GOOD)

    with OpenAIStub(answer) as server:
        coming = asker(server, tmp_path, max_in_flight=1).classify(posts(*"abc"))
        assert next(coming).values == VALUES
        gone.set()
        with pytest.raises(TaskError) as raised:
            list(coming)
        asked = server.requests
    assert (raised.value.cause, raised.value.stops_run) == (Cause.REFUSED, True)
    assert asked == 4  # the proof, a post, the rejected post, and the fixed sentence


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=401, body=error("no", "invalid_api_key")),
        Reply(status=402, body=error("no", None)),
        Reply(status=429, body=error("no", "insufficient_quota")),
    ],
    ids=["401", "402", "429"],
)
def test_what_is_about_the_key_ends_the_run_without_a_question(
    tmp_path: Path, reply: Reply
) -> None:
    with (
        OpenAIStub(flags(reply)) as server,
        pytest.raises(TaskError) as raised,
    ):
        answers(asker(server, tmp_path), posts("bad"))
    assert raised.value.cause is Cause.REFUSED
    assert server.requests == 2


@pytest.mark.parametrize(
    ("reply", "is_about_credit"),
    [
        (Reply(status=402, body=error("no", None)), True),
        (Reply(status=429, body=error("no", "insufficient_quota")), True),
        (Reply(body={"error": {"code": 402, "message": "no"}}), True),
        (Reply(status=401, body=error("no", None)), False),
        (Reply(status=429, body={}, headers={"x-should-retry": "false"}), False),
    ],
)
def test_only_a_key_without_credit_is_said_to_have_none(
    tmp_path: Path, reply: Reply, is_about_credit: bool
) -> None:
    with OpenAIStub(lambda *_: reply) as server, pytest.raises(TaskError) as raised:
        answers(asker(server, tmp_path), posts("a"))
    assert ("credit" in str(raised.value)) is is_about_credit


def with_reasons(reasons: Any) -> Reply:
    rejection = {"code": 403, "message": "a bad post", "metadata": {
        "reasons": reasons, "flagged_input": "a bad post", "provider_name": "p"}}  # fmt: skip
    return Reply(status=403, body={"error": rejection})


def azure(**categories: Any) -> Reply:
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": categories}
    rejection = {"code": "content_filter", "message": "a bad post", "innererror": inner}
    return Reply(status=400, body={"error": rejection})


NAMED: list[tuple[Reply, str]] = [
    (with_reasons(["harassment"]), "moderation: harassment"),
    (with_reasons(["violence/graphic", "self-harm"]), "moderation: violence/graphic, self-harm"),
    (with_reasons([]), "moderation"),
    (with_reasons(["a bad post"]), "moderation"),
    (with_reasons([{"bad": 1}]), "moderation"),
    (with_reasons("bad"), "http_403"),
    (azure(hate={"filtered": True, "severity": "high"}, violence={"filtered": False}),
     "content_filter: hate"),
    (azure(), "content_filter"),
    (Reply(status=403, body=error("a bad post", "content_policy_violation")),
     "http_403: content_policy_violation"),
    (Reply(status=403, body=error("a bad post", "a bad post")), "http_403"),
    (Reply(status=404, body={"error": "a bad post"}), "http_404"),
    (Reply(status=404, body=["a bad post"]), "http_404"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "reason"), NAMED)
def test_a_reason_has_the_services_own_category_and_never_words_of_the_post(
    tmp_path: Path, reply: Reply, reason: str
) -> None:
    with OpenAIStub(flags(reply)) as server:
        found = answers(asker(server, tmp_path), posts("a bad post"))
    assert found["a bad post"].reason == reason


def test_a_study_of_flagged_posts_is_labeled_to_its_end(tmp_path: Path) -> None:
    """More than 20 in a row, on a server whose fixed sentence is labeled."""
    texts = [f"bad {number}" for number in range(50)] + ["fine"]
    with OpenAIStub(flags(with_reasons(["hate"]))) as server:
        found = answers(asker(server, tmp_path), posts(*texts))
    assert {found[text].reason for text in texts[:-1]} == {"moderation: hate"}
    assert found["fine"].values == VALUES


def test_posts_that_are_rejected_at_once_share_their_probes(tmp_path: Path) -> None:
    held, proved = threading.Event(), threading.Event()
    rejected = [0]

    def answer(body: dict[str, Any], nth: int) -> Reply:
        if is_fixed_sentence(body):
            assert not proved.is_set() or held.wait(60)
            proved.set()
            return completion(GOOD)
        with counting:
            rejected[0] += 1
        return Reply(status=403, body="<html>")

    counting = threading.Lock()
    with OpenAIStub(answer) as server:
        done = threading.Thread(
            target=lambda: answers(
                asker(server, tmp_path, max_in_flight=16), posts(*"abcdefghijklmnop")
            )
        )
        done.start()
        wait_until(lambda: rejected[0] == 16)
        held.set()
        done.join(60)
        probes = sum(map(is_fixed_sentence, server.bodies))
    assert probes <= 4  # the proof, the first rejection's, and one or two for all others


def test_the_answer_of_another_post_does_not_excuse_a_gateway_that_is_gone(tmp_path: Path) -> None:
    """Only a probe that is sent after the rejection does."""

    def answer(body: dict[str, Any], nth: int) -> Reply:
        return completion(GOOD) if nth <= 2 else Reply(status=404, body="<html>")

    with OpenAIStub(answer) as server, pytest.raises(TaskError) as raised:
        answers(asker(server, tmp_path, max_in_flight=1), posts("a", "b"))
    assert raised.value.cause is Cause.REFUSED


def test_a_rejected_server_is_proved_again_by_the_next_task(tmp_path: Path) -> None:
    gone = Reply(status=404, body="<html>")
    with OpenAIStub(lambda _, nth: completion(GOOD) if nth <= 2 else gone) as server:
        answers(asker(server, tmp_path), posts("a"))
        assert len(list((tmp_path / "notes").iterdir())) == 1
        with pytest.raises(TaskError):
            answers(asker(server, tmp_path), posts("b"))
        assert list((tmp_path / "notes").iterdir()) == []


def test_an_error_within_a_200_names_the_services_category(tmp_path: Path) -> None:
    body = with_reasons(["hate"]).body
    with OpenAIStub(flags(Reply(body=body))) as server:
        found = answers(asker(server, tmp_path), posts("bad"))
    assert found["bad"].reason == "moderation: hate"


@pytest.mark.parametrize("code", [400, 403, "403", 451])
def test_an_error_within_a_200_that_names_a_status_is_not_asked_again(
    tmp_path: Path, code: int | str
) -> None:
    with OpenAIStub(flags(Reply(body={"error": {"code": code, "message": "no"}}))) as server:
        found = answers(asker(server, tmp_path), posts("bad", "fine"))
    assert (found["bad"].reason, found["fine"].values) == (f"http_{code}", VALUES)
    assert sum("bad" in body["messages"][1]["content"] for body in server.bodies) == 1


@pytest.mark.parametrize("code", [401, 402])
def test_an_error_within_a_200_about_the_key_ends_the_run(tmp_path: Path, code: int) -> None:
    rejected = Reply(body={"error": {"code": code, "message": "no"}})
    with OpenAIStub(lambda *_: rejected) as server, pytest.raises(TaskError) as raised:
        answers(asker(server, tmp_path), posts("a"))
    assert (raised.value.cause, len(server.bodies)) == (Cause.REFUSED, 1)


@pytest.mark.parametrize("code", [429, 503, None, True, 200, 4030, "4O3", "²03", [403]])
def test_other_errors_within_a_200_are_asked_again(tmp_path: Path, code: object) -> None:
    failed = Reply(body={"error": {"code": code, "message": "no"}})

    def answer(body: dict[str, Any], nth: int) -> Reply:
        return failed if nth in (2, 3) else completion(GOOD)

    with OpenAIStub(answer) as server:
        assert answers(asker(server, tmp_path), posts("a"))["a"].values == VALUES
        assert len(server.bodies) == 4


def test_the_fixed_sentence_is_asked_before_any_post_and_once_per_run(tmp_path: Path) -> None:
    with OpenAIStub(labels_fixed_sentence(GOOD, lambda *_: completion(GOOD))) as server:
        for _ in range(3):
            answers(asker(server, tmp_path), posts("a", "b"))
    assert list(map(is_fixed_sentence, server.bodies)) == [True] + [False] * 6
