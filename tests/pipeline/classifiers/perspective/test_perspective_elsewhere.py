"""A look-alike of the Perspective API may have another path, and expect the key elsewhere."""

import base64
import json
import urllib.parse
from typing import Any

import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create, what_decides
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, JsonObject
from tests.pipeline.classifiers.classifier_setup import (
    KEY,
    Scripted,
    frozen_options,
    posts,
    verdicts,
)
from tests.servers.http import Reply
from tests.servers.perspective import PerspectiveServer, score


@pytest.fixture(autouse=True)
def key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", KEY)


def options(base_url: str, **values: Any) -> JsonObject:
    own = {"type": "perspective", "base_url": base_url, "requests_per_minute": 10**9}
    return frozen_options({**own, **values})


@pytest.mark.parametrize(
    ("key_header", "value"),
    [
        ("Authorization", f"Bearer {KEY}"),
        ("authorization", f"Bearer {KEY}"),
        ("X-Api-Key", KEY),
        ("Ocp-Apim-Subscription-Key", KEY),
        ("x_goog.api~key", KEY),
    ],
)
def test_the_key_is_sent_in_the_header_that_is_named_and_in_no_other(
    key_header: str, value: str
) -> None:
    with PerspectiveServer(key=value, path="/v2/score/", key_header=key_header) as server:
        frozen = options(server.url, path="/v2/score/", key_header=key_header)
        found = verdicts(create(frozen, TaskShare()), posts("a day"))
        request = server.last_request
    values = {"prob_toxic": score("a day", "TOXICITY")}
    assert found == {"a day": Answer("at://0", values)}
    assert request is not None
    assert request.path == "/v2/score/"
    assert [name for name, sent in request.headers.items() if KEY in sent] == [key_header]


def test_path_and_address_are_joined_as_they_are_written() -> None:
    with PerspectiveServer(key=KEY, path="/api/v2/comments:analyze") as server:
        for base_url, path in (("/api", "/v2/comments:analyze"), ("", "/api/v2/comments:analyze")):
            frozen = options(server.url + base_url, path=path)
            assert verdicts(create(frozen, TaskShare()), posts("a"))["a"].values


def test_another_path_changes_labels_as_another_address_does_and_another_header_does_not() -> None:
    plain = options("http://h:1", allow_insecure=True)
    moved = options("http://h:1", allow_insecure=True, path="/score")
    other_header = options("http://h:1", allow_insecure=True, key_header="X-Key")
    assert {"path", "key_header"} & plain.keys() == set()
    assert what_decides(moved) == {**what_decides(plain), "path": "/score"}
    assert what_decides(other_header) == what_decides(plain)
    assert create(plain, TaskShare()).model == "perspective v1alpha1 at http://h:1"
    assert create(moved, TaskShare()).model == "perspective at http://h:1/score"


ECHOES = {
    "headers as JSON": lambda sent: json.dumps({"headers": {"Authorization": sent}}),
    "a URL": lambda sent: urllib.parse.quote(f"Authorization: {sent}"),
    "a form": lambda sent: urllib.parse.urlencode({"authorization": sent}),
    "Base64": lambda sent: base64.b64encode(f"Authorization: {sent}".encode()).decode(),
    "Base64 of the value": lambda sent: base64.b64encode(sent.encode()).decode(),
    "hexadecimal": lambda sent: sent.encode().hex(),
    "wrapped lines": lambda sent: "\n ".join(sent[i : i + 7] for i in range(0, len(sent), 7)),
    "HTML": lambda sent: "".join(f"&#{ord(character)};" for character in sent),
}


@pytest.mark.parametrize("form", ECHOES)
def test_an_echoed_bearer_key_is_shown_nowhere(form: str) -> None:
    echoed = ECHOES[form](f"Bearer {KEY}")
    with Scripted(lambda nth: Reply(status=403, body=echoed)) as server:
        frozen = options(server.url, key_header="Authorization")
        with pytest.raises(TaskError) as raised:
            verdicts(create(frozen, TaskShare()), posts("a"))
        (request, *_) = server.seen
    assert raised.value.cause is Cause.REFUSED
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    message = str(raised.value)
    assert KEY not in message
    assert echoed.strip()[:60] not in message.replace(" ", "")
    assert "[key]" in message
