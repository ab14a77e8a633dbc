"""The stand-in fails where the real service does, or else the client's tests prove nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.waiting import PATIENCE_S

from .perspective import ANALYZE, Fault, PerspectiveServer, score

ROOT = Path(__file__).parents[2]
ERROR = "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"
MALFORMED = "Invalid JSON payload received."
NO_LETTERS: dict[str, Any] = {"text": "🦋 1", "languages": None}
UNKNOWN: dict[str, Any] = {"requestedAttributes": {"TOXICITY": {}, "WIT": {}}}


@pytest.fixture
def service() -> Iterator[PerspectiveServer]:
    with PerspectiveServer(key="K") as running:
        yield running


def ask(
    server: PerspectiveServer, text: str = "Hello there", *, key: str = "K", **changes: Any
) -> requests.Response:
    body = {
        "comment": {"text": text},
        "requestedAttributes": {"TOXICITY": {}, "RESPECT_EXPERIMENTAL": {}},
        "languages": ["en"],
    }
    body = {name: value for name, value in (body | changes).items() if value is not None}
    headers = {"X-Goog-Api-Key": key} if key else {}
    return requests.post(server.url + ANALYZE, json=body, headers=headers, timeout=10)


def error(response: requests.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()["error"]
    assert body["code"] == response.status_code
    return body


def test_scores_have_names_and_are_not_in_the_order_of_the_request(
    service: PerspectiveServer,
) -> None:
    attributes: dict[str, Any] = {"RESPECT_EXPERIMENTAL": {}, "TOXICITY": {}}
    response = ask(service, "Grüße 🦋", requestedAttributes=attributes, clientToken="at://x/y")

    def summary(attribute: str) -> dict[str, Any]:
        value = {"value": score("Grüße 🦋", attribute), "type": "PROBABILITY"}
        return {"summaryScore": value}

    answer = response.json()
    assert answer.pop("detectedLanguages") in (["it"], ["th"], ["om"])
    assert answer == {
        "attributeScores": {name: summary(name) for name in ("TOXICITY", "RESPECT_EXPERIMENTAL")},
        "languages": ["en"],
        "clientToken": "at://x/y",
    }
    assert list(answer["attributeScores"]) == ["TOXICITY", "RESPECT_EXPERIMENTAL"]


def test_spans_are_given_on_request_one_per_sentence_in_utf_16_units(
    service: PerspectiveServer,
) -> None:
    scores = ask(service, "🦋 Hi. You?\nThere", spanAnnotations=True).json()["attributeScores"]

    def value(text: str) -> dict[str, Any]:
        return {"value": score(text, "TOXICITY"), "type": "PROBABILITY"}

    assert scores["TOXICITY"] == {
        "summaryScore": value("🦋 Hi. You?\nThere"),
        "spanScores": [
            {"begin": 0, "end": 6, "score": value("🦋 Hi.")},
            {"begin": 7, "end": 11, "score": value("You?")},
            {"begin": 12, "end": 17, "score": value("There")},
        ],
    }
    assert "spanScores" not in ask(service, "Hi").json()["attributeScores"]["TOXICITY"]


def test_a_score_depends_only_on_text_and_attribute() -> None:
    assert score("Hello", "TOXICITY") == 0.8566392944553822
    values = {score(text, name) for text in "ab" for name in ("TOXICITY", "INSULT")}
    assert len(values) == 4
    assert all(0 <= value < 1 for value in values)


def test_a_missing_key_is_403_and_a_wrong_one_400(service: PerspectiveServer) -> None:
    missing, wrong = ask(service, key=""), ask(service, key="other")
    assert (missing.status_code, error(missing)["status"]) == (403, "PERMISSION_DENIED")
    assert error(wrong)["message"] == "API key not valid. Please pass a valid API key."
    assert error(wrong)["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": {"service": "commentanalyzer.googleapis.com"},
        }
    ]
    assert service.admitted_by_minute == {}
    in_url = requests.post(f"{service.url}{ANALYZE}?key=K", json={}, timeout=10)
    assert error(in_url)["details"] == [{"@type": ERROR, "errorType": "INVALID_REQUEST"}]


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"text": " \n"}, "COMMENT_EMPTY", "Comment must be non-empty."),
        ({"text": "é" * 10_241}, "COMMENT_TOO_LONG", "Comment text too long."),
        (NO_LETTERS, "LANGUAGE_DETECTION_FAILED", "Unable to detect language"),
        (UNKNOWN, "INVALID_REQUEST", "Unknown requested attribute: WIT"),
        ({"comment": "Hello"}, "INVALID_REQUEST", MALFORMED),
        ({"lang": "en"}, "INVALID_REQUEST", f'{MALFORMED} Unknown name "lang": Cannot find field.'),
        ({"requestedAttributes": {}}, "NO_REQUESTED_ATTRIBUTES", "Missing requested_attributes"),
    ],
)
def test_a_request_that_cannot_be_scored_is_rejected_with_an_error_type(
    service: PerspectiveServer, changes: dict[str, Any], kind: str, message: str
) -> None:
    assert error(ask(service, **changes)) == {
        "code": 400,
        "message": message,
        "status": "INVALID_ARGUMENT",
        "details": [{"@type": ERROR, "errorType": kind}],
    }


@pytest.mark.parametrize(
    ("languages", "attribute"),
    [(["de"], "RESPECT_EXPERIMENTAL"), (["tlh"], "TOXICITY"), (None, "TOXICITY"), ([], "TOXICITY")],
)
def test_one_attribute_without_the_language_fails_the_whole_request(
    service: PerspectiveServer, languages: list[str] | None, attribute: str
) -> None:
    (detail,) = error(ask(service, "lol", languages=languages))["details"]
    detected = detail["languageNotSupportedByAttributeError"].pop("detectedLanguages")
    assert detected in (["it"], ["th"], ["om"])
    assert detail == {
        "@type": ERROR,
        "errorType": "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
        "languageNotSupportedByAttributeError": {"attribute": attribute},
    }


def test_a_test_can_make_an_attribute_unsupported_in_a_language() -> None:
    with PerspectiveServer(key="K", unsupported=[("TOXICITY", "en")]) as server:
        message = "Attribute TOXICITY does not support request languages: en"
        assert error(ask(server))["message"] == message


def test_the_quota_is_per_calendar_minute_and_a_429_does_not_say_when_to_retry() -> None:
    now = 119.0
    with PerspectiveServer(key="K", quota=2, clock=lambda: now) as server:
        first = [ask(server).status_code, ask(server, " ").status_code]
        rejected = ask(server)
        now = 120.0
        after = ask(server)

    assert (first, rejected.status_code, after.status_code) == ([200, 400], 429, 200)
    assert "Retry-After" not in rejected.headers
    info = error(rejected)["details"][0]
    assert (error(rejected)["status"], info["reason"]) == (
        "RESOURCE_EXHAUSTED",
        "RATE_LIMIT_EXCEEDED",
    )
    assert info["metadata"]["quota_limit_value"] == "2"
    assert server.admitted_by_minute == {1: 2, 2: 1}


def test_a_quota_is_exact_under_many_connections_at_once() -> None:
    with PerspectiveServer(key="K", quota=50, clock=lambda: 0.0) as server:
        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(lambda i: ask(server, f"t{i}").status_code, range(200)))
        assert (statuses.count(200), statuses.count(429)) == (50, 150)
        assert server.stats() == {
            "requests": 200,
            "paid": 50,
            "peak_in_flight": server.peak_in_flight,
            "by_status": {"200": 50, "429": 150},
            "admitted_by_minute": {"0": 50},
            "paid_by_text": dict.fromkeys(server.paid_by_text, 1),
        }
        assert requests.get(f"{server.url}/_stats", timeout=10).json() == server.stats()


def test_a_fault_depends_on_the_text_and_how_often_it_came() -> None:
    def faults(text: str, nth: int) -> Fault | None:
        return {
            ("busy", 1): Fault(status=503, headers={"Retry-After": "1"}),
            ("ended", 1): Fault(status=410, body={"error": "gone"}),
            ("garbled", 1): Fault(invalid_json=True),
            ("cut", 1): Fault(cut_connection=True),
            ("torn", 1): Fault(cut_connection=True, body={"attributeScores": {}}),
        }.get((text, nth))

    with PerspectiveServer(key="K", faults=faults) as server:
        busy = ask(server, "busy")
        assert (busy.headers["Retry-After"], error(busy)["status"]) == ("1", "UNAVAILABLE")
        assert (ask(server, "ended").status_code, ask(server, "ended").status_code) == (410, 200)
        with pytest.raises(requests.JSONDecodeError):
            ask(server, "garbled").json()
        with pytest.raises(requests.ConnectionError, match="RemoteDisconnected"):
            ask(server, "cut")
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            ask(server, "torn")
        assert ask(server, "cut").ok
        assert server.by_status == {0: 2, 200: 3, 410: 1, 503: 1}
        assert server.paid_by_text == {"ended": 1, "cut": 1}


def test_a_stop_ends_a_late_answer_and_a_restart_keeps_the_address() -> None:
    arrived = threading.Event()

    def faults(_: str, nth: int) -> Fault | None:
        arrived.set()
        return Fault(delay_s=60) if nth == 1 else None

    with PerspectiveServer(key="K", faults=faults) as server, ThreadPoolExecutor(1) as pool:
        late = pool.submit(ask, server)
        assert arrived.wait(PATIENCE_S)
        address = server.url
        server.stop()
        assert isinstance(late.exception(timeout=PATIENCE_S), requests.ConnectionError)
        with pytest.raises(requests.ConnectionError, match="refused"):
            ask(server)
        assert (server.start().url, ask(server).status_code) == (address, 200)


def test_a_defect_of_the_stand_in_fails_the_test_and_not_the_client(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with (
        pytest.raises(RuntimeError, match="stand-in itself crashed"),
        PerspectiveServer(key="K", faults=lambda _, nth: Fault(delay_s=nth / 0)) as server,
        pytest.raises(requests.ConnectionError),
    ):
        ask(server)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_the_stand_in_can_run_as_a_process(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    command = [sys.executable, "-m", "tests.servers.perspective", "--key", "K", "--quota", "1"]
    process = subprocess.Popen(
        [*command, "--port-file", str(port_file)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url == f"http://127.0.0.1:{port_file.read_text().strip()}"
        stats = requests.get(f"{url}/_stats", timeout=10)
        assert json.loads(stats.text)["requests"] == 0
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_S) == 0
