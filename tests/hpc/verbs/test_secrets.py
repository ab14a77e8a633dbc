"""The API key is sent to the service, and is to be found nowhere else."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hpc.cli_bench import Bench, Done, ended, outcome
from tests.hpc.processes import tasks_of
from tests.servers.perspective import Fault, PerspectiveServer

KEY = "AIzaSyDistinctive-Key_0123456789abcdefg"
ENVIRONMENT = {"PERSPECTIVE_API_KEY": KEY}
# What waits between two tries is a random share of so many seconds: none of it.
IMPATIENT = "import random\nrandom.uniform = lambda low, high: 0.0\n"


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is not searched for the key."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture
def perspective_server() -> Iterator[PerspectiveServer]:
    with PerspectiveServer(key=KEY, latency_s=0.1) as serving:
        yield serving


def configure(bench: Bench, base_url: str, **classifier: Any) -> None:
    bench.config(
        posts=6,
        classifier={
            "type": "unpaced_perspective",
            "base_url": base_url,
            "max_in_flight": 1,
            **classifier,
        },
        retry={"max_attempts": 1},
    )


def submit_watched(bench: Bench, *arguments: str, env: dict[str, str]) -> Done:
    """A submit while whose tasks live their command lines are read."""
    driver = bench.start("submit", "--config", bench.path, *arguments, env=env)
    seen: dict[int, list[str]] = {}
    while driver.poll() is None:
        seen |= tasks_of(bench.folder)
        time.sleep(0.02)
    assert len(seen) >= 2
    assert not any(KEY in word for words in seen.values() for word in words)
    return ended(driver)


def assert_nowhere(bench: Bench, *outcomes: Done) -> None:
    for done in outcomes:
        assert KEY not in done.stdout + done.stderr
    files = [path for path in bench.folder.rglob("*") if path.is_file()]
    assert any(path.name == "00000.log" for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    for (table,) in bench.query("SELECT table_name FROM duckdb_tables()"):
        assert bench.query(f"SELECT * FROM {table} AS t WHERE t::VARCHAR LIKE '%{KEY}%'") == []


def test_a_key_from_the_environment_appears_only_in_the_requests(
    bench: Bench, perspective_server: PerspectiveServer
) -> None:
    quota = {"requests_per_minute": 6000, "quota_folder": str(bench.folder / "quota")}
    configure(bench, perspective_server.url, type="perspective", **quota)
    done = submit_watched(bench, env=ENVIRONMENT)
    assert outcome(done) == (0, "")
    assert perspective_server.paid == 6
    assert perspective_server.last_request is not None
    assert perspective_server.last_request.headers["X-Goog-Api-Key"] == KEY
    assert (
        perspective_server.last_request.query,
        KEY in str(perspective_server.last_request.body),
    ) == ({}, False)
    verbs = ("status", "gather", "resubmit", "supervise")
    others = [bench.hpc(verb, "--json", "--debug") for verb in verbs]
    assert [other.returncode for other in others] == [0, 0, 0, 0]
    again = bench.hpc("submit", "--config", bench.path, "--dry-run", env=ENVIRONMENT)
    assert_nowhere(bench, done, *others, again)


def test_a_key_from_a_private_file_appears_nowhere_else(
    bench: Bench, elsewhere: Path, perspective_server: PerspectiveServer
) -> None:
    private = elsewhere / "key"
    private.write_text(f"{KEY}\n")
    configure(bench, perspective_server.url, api_key_file=str(private))
    private.chmod(0o640)
    refused = bench.hpc("submit", "--config", bench.path, "--debug")
    assert (refused.returncode, str(private) in refused.stderr) == (2, True)
    private.chmod(0o600)
    done = bench.submit()
    assert outcome(done) == (0, "")
    assert perspective_server.paid == 6
    assert_nowhere(bench, refused, done)


def echo(text: str, times: int) -> Fault:
    """A service, or a proxy before it, that tells the key back."""
    return Fault(status=403, body={"error": {"code": 403, "message": f"{KEY} is not welcome"}})


def test_a_key_that_the_service_repeats_is_removed_from_messages(bench: Bench) -> None:
    with PerspectiveServer(key=KEY, faults=echo, latency_s=0.1) as server:
        configure(bench, server.url)
        done = submit_watched(bench, "--debug", env=ENVIRONMENT)
    status = bench.hpc("status", "--json")
    assert (done.returncode, status.returncode) == (1, 1)
    messages = [shard["message"] for shard in json.loads(status.stdout)["shards"]]
    assert ["[key] is not welcome" in message for message in messages] == [True, True]
    assert bench.states() == [("blocked", "refused", 1)] * 2
    assert_nowhere(bench, done, status)


def test_a_rejected_key_appears_nowhere(bench: Bench) -> None:
    with PerspectiveServer(key="another", latency_s=0.1) as server:
        configure(bench, server.url)
        done = bench.hpc("submit", "--config", bench.path, "--debug", env=ENVIRONMENT)
    assert done.returncode == 1
    assert bench.states() == [("blocked", "refused", 1)] * 2
    assert_nowhere(bench, done)


def test_an_unreachable_service_puts_no_key_into_a_log(bench: Bench, elsewhere: Path) -> None:
    site = elsewhere / "impatient"
    site.mkdir()
    (site / "sitecustomize.py").write_text(IMPATIENT)
    with PerspectiveServer() as server:
        address = server.url
    configure(bench, address)
    env = {**ENVIRONMENT, "PYTHONPATH": f"{site}:{bench.env['PYTHONPATH']}"}
    done = bench.hpc("submit", "--config", bench.path, "--debug", env=env)
    assert done.returncode == 1
    assert bench.states() == [("blocked", "unavailable", 1)] * 2
    assert_nowhere(bench, done)


def test_a_password_in_the_base_url_is_rejected(bench: Bench) -> None:
    configure(bench, "http://user:hunter2@127.0.0.1:9")
    done = bench.hpc("submit", "--config", bench.path, "--dry-run", env=ENVIRONMENT)
    assert outcome(done)[0] == 2
    assert "hunter2" not in done.stdout + done.stderr
