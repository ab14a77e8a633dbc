"""Whole runs with a command that hears of their events."""

import json
from typing import Any

from tests.hpc.cli_bench import Bench, exit_code, outcome
from tests.servers.perspective import Fault, PerspectiveServer

APPEND = {"command": "cat >> events.jsonl"}


def events(bench: Bench) -> list[dict[str, Any]]:
    path = bench.folder / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def kinds(bench: Bench) -> list[str]:
    return [event["event"] for event in events(bench)]


def test_a_run_reports_each_event_once(bench: Bench) -> None:
    # One after the other: a task that starts after a rejection ends at once.
    bench.config(posts=6, notify=APPEND, cluster={"max_parallel": 1})
    bench.script(1, "refuse refuse")
    assert exit_code(bench.submit()) == 1
    assert exit_code(bench.hpc("supervise")) == 1
    assert exit_code(bench.hpc("supervise", "--once")) == 1
    (event,) = events(bench)
    (run,) = bench.runs()
    assert (event["event"], event["state"]) == ("needs_person", "blocked")
    assert event["run_id"] == run.name
    assert (event["posts"], event["posts_done"]) == (6, 3)
    assert event["shards"] == [
        {"state": "done", "cause": None, "shards": 1},
        {"state": "blocked", "cause": "refused", "shards": 1},
    ]
    assert event["next"] == f"hpc resubmit --force {run}"
    for code in (1, 0):  # refused again, then labeled
        assert exit_code(bench.hpc("resubmit", "--force")) == code
        assert exit_code(bench.hpc("supervise")) == code
        assert exit_code(bench.hpc("supervise", "--once")) == code
    assert kinds(bench) == ["needs_person", "needs_person", "done"]


def test_a_key_of_notify_can_be_corrected(bench: Bench) -> None:
    bench.config(posts=2, notify={"command": ["no-such-program"], "events": ["done"]})
    done = bench.submit()
    assert outcome(done) == (0, "")
    assert "no-such-program cannot be started" in done.stdout
    assert exit_code(bench.hpc("resubmit", "--set", "notify.command=[tee, events.jsonl]")) == 0
    bench.hpc("supervise")
    assert kinds(bench) == ["done"]
    (change,) = bench.document("status")["amendments"]
    assert change["changes"] == [
        {"key": "notify.command", "old": ["no-such-program"], "new": ["tee", "events.jsonl"]}
    ]


def test_an_error_that_ends_supervision_needs_a_person(bench: Bench) -> None:
    bench.config(posts=2, notify=APPEND)
    bench.submit()
    (bench.runs()[0] / "submissions" / "0001.json").write_text("{")
    for _ in range(2):
        assert exit_code(bench.hpc("supervise")) == 2
    assert kinds(bench) == ["done", "needs_person"]
    assert "0001.json" in events(bench)[1]["message"]
    assert bench.hpc("supervise").stdout == ""


def test_nobody_hears_of_an_event_that_was_not_asked_for(bench: Bench) -> None:
    bench.config(posts=2, notify={**APPEND, "events": ["throttled"]})
    assert outcome(bench.submit()) == (0, "")
    assert events(bench) == []
    bench.config(notify={"events": ["done", "nothing"]})
    assert exit_code(bench.submit()) == 2


def test_the_command_never_sees_the_api_key(bench: Bench) -> None:
    key = "AIzaSyDistinctive-Key_0123456789abcdefg"
    says_the_key = Fault(status=403, body={"error": {"code": 403, "message": f"not with {key}"}})
    with PerspectiveServer(key=key, faults=lambda *_: says_the_key) as server:
        bench.config(
            posts=2,
            classifier={"type": "unpaced_perspective", "base_url": server.url},
            notify={"command": "env > seen; cat >> seen"},
        )
        env = {"PERSPECTIVE_API_KEY": key, "HEADER": f"Bearer {key}", "SLACK": "a-url"}
        assert exit_code(bench.hpc("submit", "--config", bench.path, env=env)) == 1
    seen = (bench.folder / "seen").read_text()
    assert key not in seen
    assert "SLACK=a-url" in seen
    assert '"needs_person"' in seen
