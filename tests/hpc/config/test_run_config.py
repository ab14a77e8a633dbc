"""What a configuration file and its overrides mean; what is wrong is in test_config_messages."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpc.config import run_config
from hpc.config.run_config import Config
from hpc.run.cluster.resources import ExecutorName
from pipeline.config.sections import (
    Backlog,
    CheckpointSettings,
    Sharding,
    SourceColumns,
    Storage,
)

EVERY_SECTION = """
name: perspective
backlog:
  source: posts.db
  table: preprocessed_posts
  columns: {uri: at_uri}
  where: "langs LIKE '%en%'"
  min_text_length: 3
sharding: {shards: 10}
classifier: {type: perspective, requests_per_minute: 60}
checkpoint: {rows: 100, seconds: 30}
cluster: {executor: slurm}
retry: {max_attempts: 2}
storage: {run_root: my_runs, database: my.duckdb}
"""
SHORT = """
name: v
backlog: {source: posts.csv}
classifier: {type: valence}
cluster: {executor: slurm}
"""


def load(folder: Path, text: str, *overrides: str) -> Config:
    (folder / "run.yaml").write_text(text, encoding="utf-8")
    return run_config.load(folder / "run.yaml", overrides)


def test_every_section_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(tmp_path, EVERY_SECTION)
    assert config.name == "perspective"
    assert config.backlog == Backlog(
        source="posts.db",
        table="preprocessed_posts",
        columns=SourceColumns(uri="at_uri"),
        where="langs LIKE '%en%'",
        min_text_length=3,
    )
    assert config.backlog.columns.values() == ("at_uri", "text", "preprocessing_timestamp")
    assert config.sharding == Sharding(shards=10)
    assert config.checkpoint == CheckpointSettings(rows=100, seconds=30.0)
    assert config.storage == Storage(run_root=tmp_path / "my_runs", database=tmp_path / "my.duckdb")
    assert (config.cluster.executor, config.retry.max_attempts) == (ExecutorName.SLURM, 2)


def test_a_key_that_is_left_out_has_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    config = load(tmp_path, SHORT)
    assert config.backlog == Backlog(
        source="posts.csv", table=None, columns=SourceColumns(), where=None, min_text_length=5
    )
    assert (config.sharding.rows_per_shard, config.sharding.shards) == (10_000, None)
    assert config.checkpoint == CheckpointSettings(rows=500, seconds=60.0)
    assert config.storage == Storage(
        run_root=elsewhere / "runs", database=elsewhere / "labels.duckdb"
    )


def test_a_section_without_keys_is_as_one_that_is_left_out(tmp_path: Path) -> None:
    config, empty = load(tmp_path, SHORT), load(tmp_path, SHORT + "retry:\nsharding: {shards:}\n")
    assert (empty.retry, empty.sharding) == (config.retry, config.sharding)


def test_an_emoji_may_be_written_as_json_does(tmp_path: Path) -> None:
    condition = json.dumps("text LIKE '\N{BUTTERFLY}é'")
    config = load(tmp_path, SHORT, f"backlog.where={condition}")
    assert config.backlog.where == "text LIKE '\N{BUTTERFLY}é'"


def test_a_mapping_may_be_merged_into_another_which_overrides_it(tmp_path: Path) -> None:
    text = (
        "name: v\nbacklog: {source: x}\nclassifier: {type: valence}\n"
        "retry: &r {max_attempts: 2, requeues: 1}\n"
        "cluster: {executor: slurm, extra: {<<: *r, requeues: 3}}\n"
    )
    assert load(tmp_path, text).cluster.resources.extra == {"max_attempts": 2, "requeues": 3}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("sharding.shards=3", {"sharding": Sharding(shards=3)}),
        ("name=other", {"name": "other"}),
        ("backlog.where=a = 'b=c'", {"backlog": Backlog(source="posts.csv", where="a = 'b=c'")}),
        (
            "backlog.columns={uri: at_uri}",
            {"backlog": Backlog(source="posts.csv", columns=SourceColumns(uri="at_uri"))},
        ),
        ("checkpoint.rows= 7", {"checkpoint": CheckpointSettings(rows=7)}),
        ("backlog.table=", {"backlog": Backlog(source="posts.csv")}),
    ],
)
def test_an_override_replaces_one_key(
    tmp_path: Path, override: str, expected: dict[str, Any]
) -> None:
    config = load(tmp_path, SHORT, override)
    assert {name: getattr(config, name) for name in expected} == expected


def test_an_override_reaches_into_a_section_that_is_given_empty(tmp_path: Path) -> None:
    assert load(tmp_path, SHORT + "retry:\n", "retry.max_attempts=9").retry.max_attempts == 9


def test_a_later_override_wins(tmp_path: Path) -> None:
    config = load(tmp_path, SHORT, "sharding.shards=3", "sharding.shards=4")
    assert config.sharding == Sharding(shards=4)


def test_inputs_are_tried_beside_the_file_then_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, working = tmp_path / "configs", tmp_path / "working"
    beside.mkdir()
    working.mkdir()
    monkeypatch.chdir(working)
    (working / "t.yaml").write_text("cpus: 2")
    with_template = SHORT.replace("slurm", "slurm, template: t.yaml")
    assert load(beside, with_template).cluster.resources.cpus == 2
    (beside / "t.yaml").write_text("cpus: 3")
    assert load(beside, with_template).cluster.resources.cpus == 3


def test_only_the_storage_is_checked_where_only_that_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("storage: {run_root: my_runs}\nbacklgo: {}\n")
    assert run_config.load_storage(tmp_path / "run.yaml") == Storage(
        run_root=tmp_path / "my_runs", database=tmp_path / "labels.duckdb"
    )
