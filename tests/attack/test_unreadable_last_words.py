"""Last words that cannot be read now decide nothing: their shard is neither retried nor charged."""

import errno
import json
from typing import Any

import pytest

from tests.attack.faults import Faults
from tests.hpc.cli_bench import Bench
from tests.hpc.snapshot import Snapshot

WORDS = "*/logs/0001/00001.last-words.json"


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    made = Bench(tmp_path_factory.mktemp("refused"))
    # One after the other: a task that starts after a rejection ends at once.
    made.config(posts=4, cluster={"max_parallel": 1})
    made.script(1, "refuse")
    assert made.submit().returncode == 1
    assert made.states() == [("done", None, 1), ("blocked", "refused", 1)]
    (made.runs()[0] / ".seen-last-words.json").unlink()
    return Snapshot(made)


@pytest.fixture
def bench(snapshot: Snapshot) -> Bench:
    """A run of two shards, the second of which was refused; nothing is remembered of it."""
    return snapshot.restore()


def shard(bench: Bench, faults: Faults) -> tuple[int, dict[str, Any]]:
    """The exit code of status, and what it says about the second shard."""
    done = faults.hpc(bench, "status", "--json")
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)["shards"][1]


@pytest.mark.parametrize(
    ("operation", "error", "state"),
    [
        ("read", errno.EIO, "unknown"),
        ("open", errno.ESTALE, "unknown"),
        ("open", errno.EMFILE, "unknown"),
        ("read", errno.ENOMEM, "unknown"),
        ("open", errno.EACCES, "blocked"),
        ("open", errno.EPERM, "blocked"),
    ],
)
def test_a_shard_is_judged_once_they_can_be_read(
    bench: Bench, faults: Faults, operation: str, error: int, state: str
) -> None:
    before = bench.asked()
    fault = faults.fail(operation, WORDS, error)
    code, seen = shard(bench, faults)
    assert fault.injected
    assert (code, seen["state"], seen["cause"]) == (1, state, None)
    assert str(bench.runs()[0] / "logs/0001/00001.last-words.json") in seen["message"]
    for verb in (("resubmit", "--force"), ("supervise", "--once")):
        done = faults.hpc(bench, *verb)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    faults.clear()
    assert bench.states()[1] == ("blocked", "refused", 1)
    assert bench.asked() == before


def test_a_passing_error_is_not_even_noticed(bench: Bench, faults: Faults) -> None:
    fault = faults.fail("read", WORDS, errno.ESTALE, times=2)
    code, seen = shard(bench, faults)
    assert fault.injected == 2
    assert (code, seen["state"], seen["cause"]) == (1, "blocked", "refused")
