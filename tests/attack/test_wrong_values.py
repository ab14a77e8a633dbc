"""Any JSON value at any key of what a run recorded: whoever looks learns which, or goes on."""

import json
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.attack.damage import places_in
from tests.attack.examples import ATTACKS, some_attacks
from tests.hpc.cli_bench import Bench
from tests.hpc.snapshot import Snapshot

RECORDS = ("manifest.json", "submissions/0001.json", "logs/packed.jsonl")
VALUES: tuple[Any, ...] = (
    None, "", "x", "a\0b", "../../x", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00",
    "2024-01-01T00:00:00Z", "0-9", -1, 0, 2**63, 10**30, 1.5, 1e308, True, [], {}, [[]], {"": 0},
)  # fmt: skip


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A run of two shards that is gathered, so that its logs are packed."""
    made = Bench(tmp_path_factory.mktemp("values"))
    made.config(posts=4, classifier={"type": "valence"})
    assert made.submit().returncode == 0
    return Snapshot(made)


@settings(some_attacks, max_examples=ATTACKS or 20)
@given(record=st.sampled_from(RECORDS), place=st.integers(0, 10**6), value=st.sampled_from(VALUES))
def test_no_value_in_a_record_ends_a_verb_with_a_traceback(
    snapshot: Snapshot, record: str, place: int, value: object
) -> None:
    bench = snapshot.restore()
    (run,) = bench.runs()
    text = (run / record).read_text()
    document, end = json.JSONDecoder().raw_decode(text)
    places = places_in(document)
    container, key = places[place % len(places)]
    note(f"{record}: {key}: {value!r}")
    container[key] = value
    (run / record).write_text(json.dumps(document) + text[end:])
    for words in (("status",), ("gather",), ("audit", "--config", bench.path)):
        done = bench.hpc(*words)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode in (0, 1, 2, 3)
        if done.returncode == 2:
            assert str(run) in done.stderr
