"""What is wrong is said: what, where, and what to do, without a traceback and nothing half done."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.run_files.manifest import work_path
from tests.hpc.cli_bench import Bench, ended, once, outcome, valence_run
from tests.pipeline.backlog import source_files
from tests.pipeline.conftest import fill, small_disk
from tests.pipeline.worker.whole_heartbeat import read_whole_heartbeat
from tests.waiting import wait_until

__all__ = ["small_disk"]

PERSPECTIVE = {"type": "perspective", "base_url": "http://127.0.0.1:9"}
LLM = {
    "type": "llm", "base_url": "http://127.0.0.1:9", "model": "m", "prompt": "nowhere.txt",
    "labels": [{"name": "a", "type": "bool"}],
}  # fmt: skip


# The wording is asserted in tests/hpc/config/test_config_messages.py.
CONFIGURATIONS: list[tuple[dict[str, Any], str]] = [
    ({"clasifier": {}}, "clasifier"),
    ({"backlog": {"colums": {}}}, "backlog.colums"),
    ({"cluster": {"max_paralel": 3}}, "cluster.max_paralel"),
    ({"retry": {"attempts": 3}}, "retry.attempts"),
    ({"storage": {"databse": "x"}}, "storage.databse"),
    ({"classifier": {"type": "valence", "colour": 1}}, "classifier.colour"),
    ({"classifier": {"type": "perspectiv"}}, "classifier.type"),
    ({"cluster": {"executor": "lokal"}}, "cluster.executor"),
    ({"cluster": {"template": "t.yaml"}}, "cluster.template"),
    ({"classifier": LLM}, "classifier.prompt"),
    ({"classifier": PERSPECTIVE}, "classifier.api_key_env"),
    ({"classifier": {**PERSPECTIVE, "api_key_file": "key"}}, "classifier.api_key_file"),
    ({"name": "Bad-Name"}, "name"),
    ({"sharding": {"rows_per_shard": 5}}, "sharding.shards"),
]


@pytest.mark.parametrize(("sections", "key"), CONFIGURATIONS)
def test_a_wrong_configuration_is_rejected_with_the_keys_path(
    bench: Bench, sections: dict[str, Any], key: str
) -> None:
    bench.config(posts=3, **sections)
    before = bench.listing()
    code, error = outcome(bench.hpc("submit", "--config", bench.path))
    assert (code, error.startswith(f"error: {bench.path}: {key}: ")) == (2, True), error
    assert bench.listing() == before


def test_an_error_in_a_template_names_the_template(bench: Bench) -> None:
    bench.config(posts=3, cluster={"template": "t.yaml"})
    template = bench.folder / "t.yaml"
    template.write_text("partitoin: normal\n")
    code, error = outcome(bench.hpc("submit", "--config", bench.path))
    assert (code, error.startswith(f"error: {template}: partitoin: ")) == (2, True), error


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ("sharding", "--set 'sharding'"),
        ("=3", "--set '=3'"),
        ("name.x=1", "--set 'name.x=1'"),
        ("sharding.shards=ten", "--set: sharding.shards"),
        ("sharding.shard=1", "--set: sharding.shard"),
    ],
)
def test_a_wrong_override_is_rejected(bench: Bench, override: str, place: str) -> None:
    bench.config(posts=3)
    before = bench.listing()
    code, error = outcome(bench.hpc("submit", "--config", bench.path, "--set", override))
    expected = f"error: {place}: "
    assert (code, error.startswith(expected)) == (2, True), error
    assert bench.listing() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "{path} should be a mapping of keys: see docs/reference/configuration.md\n"),
        ("- a\n", "{path} should be a mapping of keys: see docs/reference/configuration.md\n"),
        ("{\n", "{path} is not valid YAML: "),
        (None, "the configuration {path} cannot be read: No such file or directory\n"),
    ],
)
def test_a_file_that_is_not_a_configuration_is_rejected(
    bench: Bench, text: str | None, message: str
) -> None:
    if text is not None:
        bench.path.write_text(text)
    code, error = outcome(bench.hpc("submit", "--config", bench.path))
    assert code == 2
    assert error.startswith("error: " + message.format(path=bench.path))


def test_a_missing_backlog_is_rejected(bench: Bench) -> None:
    bench.config(backlog={"source": "nowhere.jsonl"})
    nowhere = f"error: backlog.source: there is no file at {bench.folder}/nowhere.jsonl\n"
    for options in (["--dry-run"], []):
        code, error = outcome(bench.hpc("submit", "--config", bench.path, *options))
        assert (code, error.startswith(nowhere)) == (2, True)
    assert list((bench.folder / "runs").iterdir()) == [bench.folder / "runs" / ".lock"]


def test_an_empty_backlog_leaves_nothing_to_label(bench: Bench) -> None:
    source_files.sqlite_file(bench.folder / "posts.db", [])
    bench.config(backlog={"source": "posts.db"})
    done = bench.hpc("submit", "--config", bench.path)
    assert outcome(done) == (0, "")
    assert list((bench.folder / "runs").iterdir()) == [bench.folder / "runs" / ".lock"]
    assert bench.document("submit", "--config", bench.path) == {
        "run_id": None, "run_dir": None, "posts": 0, "shards": 0, "array_jobs": [],
        "dry_run": False, "requests": None, "quota_minutes": None, "cost_estimate": None,
        "currency": None, "unlabelable_by_reason": {}, "late_posts": 0, "unread_rows": 0,
        "files": 1, "left_out": [], "future_posts": 0, "ancient_posts": 0,
        "labeled": None, "unlabelable": None, "sample": None, "canary": None, "measured": None,
        "minutes_estimate": None, "shard_size": None,
        "service_ends_at": None, "requests_until_end": None, "posts_until_end": None,
        "distinct_texts": 0, "copies": 0, "requests_saved": None,
    }  # fmt: skip


@pytest.mark.parametrize(("given", "shown"), [("0", "'0'"), ("-1", "'-1'"), ("few", "'few'")])
def test_a_limit_that_is_not_a_number_of_posts_is_rejected(
    bench: Bench, given: str, shown: str
) -> None:
    code, error = outcome(bench.hpc("submit", "--config", bench.path, "--limit", given))
    assert code == 2
    assert error.endswith(
        f"error: argument --limit: should be a whole number, 1 or more, not {shown}\n"
    )


@pytest.mark.parametrize("verb", ["status", "gather", "resubmit", "supervise"])
def test_a_verb_that_finds_no_run_says_where_it_looked(bench: Bench, verb: str) -> None:
    before = bench.listing()
    assert outcome(bench.hpc(verb)) == (
        2,
        f"error: there is no run under {bench.folder}/runs: create one with hpc submit --config "
        "FILE, or name another place with --run-root or --config\n",
    )
    missing = f"there is no run 7, neither as a folder nor under {bench.folder}/elsewhere"
    assert outcome(bench.hpc(verb, "7", "--run-root", "elsewhere")) == (2, f"error: {missing}\n")
    assert bench.listing() == before


def another_version(manifest: Path) -> None:
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**values, "format": 1, "version": "0.9"}))


def cut(manifest: Path) -> None:
    manifest.write_text(manifest.read_text()[:-30])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (another_version, "{run} was made by another version (run format 1, written by version "
         "0.9; this is 2): use that version for it"),
        (cut, "{run}/manifest.json is damaged: it is not a manifest of this program"),
    ],
)  # fmt: skip
def test_every_verb_names_a_run_that_it_cannot_read(
    bench: Bench, change: Callable[[Path], None], message: str
) -> None:
    run = valence_run(bench.folder, 3)
    bench.config(posts=3, name=run.manifest.name)
    change(run.folder / "manifest.json")
    before = bench.listing()
    error = f"error: {message.format(run=run.folder)}\n"
    for verb in ("status", "gather", "supervise"):
        assert outcome(bench.hpc(verb)) == (2, error)
    assert bench.listing() == before
    assert outcome(bench.hpc("submit", "--config", bench.path)) == (2, error)
    assert set(bench.listing()) - set(before) == {"runs/.lock"}


def test_a_database_that_cannot_be_opened_is_rejected_before_anything_is_spent(
    bench: Bench,
) -> None:
    bench.config(posts=3)
    database = bench.folder / "labels.duckdb"
    database.write_text("dear diary\n")
    code, error = outcome(bench.hpc("submit", "--config", bench.path))
    assert code == 1
    assert error.startswith(f"error: the database {database} cannot be opened: ")
    assert (bench.runs(), bench.asked()) == ([], {})
    assert database.read_text() == "dear diary\n"


def test_a_run_waits_while_the_disk_is_full_and_goes_on_once_there_is_room(
    bench: Bench, request: pytest.FixtureRequest
) -> None:
    disk: Path = request.getfixturevalue("small_disk")
    gate = bench.folder / "gate"
    bench.config(
        posts=30,
        sharding={"shards": 3},
        classifier={"gate": str(gate)},
        storage={"run_root": str(disk / "runs")},
    )
    driver = bench.start("submit", "--config", bench.path)
    wait_until(lambda: len(bench.asked()) == 2, "two tasks are at work")
    fill(disk, leaving=0)
    gate.touch()
    (run,) = (disk / "runs").glob("2*")

    def waits_for_disk(shard: int) -> bool:
        beat = read_whole_heartbeat(work_path(run, shard), 1)
        return beat is not None and beat.waits_for_disk

    wait_until(lambda: waits_for_disk(0) and waits_for_disk(1), "both tasks wait")
    status = bench.document("status", "--config", bench.path, code=3)
    messages = [shard["message"] for shard in status["shards"][:2]]
    assert ["No space left on device" in message for message in messages] == [True, True]
    assert [shard["stalled"] for shard in status["shards"][:2]] == [False, False]
    assert len(bench.asked()) == 2
    (disk / "filler").unlink()
    assert outcome(ended(driver)) == (0, "")
    assert bench.query("SELECT count(*), count(DISTINCT uri) FROM labels_test") == [(30, 30)]
    assert bench.asked() == once(30)
    assert list(disk.rglob(".tmp-*")) == []


def test_with_debug_the_traceback_is_shown_too(bench: Bench) -> None:
    plain, debugged = bench.hpc("status"), bench.hpc("status", "--debug")
    assert debugged.returncode == 2
    assert debugged.stderr.startswith("Traceback (most recent call last):\n")
    assert debugged.stderr.endswith(plain.stderr)
