import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import run_config
from pipeline.config.run_config import Backlog, CheckpointSettings, Sharding, Storage
from pipeline.errors import InputError

WHOLE = """
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
SHORT = "name: v\nbacklog: {source: posts.csv}\nclassifier: {type: valence}\n"


def load(folder: Path, text: str, *overrides: str) -> run_config.Config:
    (folder / "run.yaml").write_text(text, encoding="utf-8")
    return run_config.load(folder / "run.yaml", overrides)


def refusal(folder: Path, text: str, *overrides: str) -> str:
    """The message, less the file's name."""
    with pytest.raises(InputError) as refused:
        load(folder, text, *overrides)
    return str(refused.value).removeprefix(f"{folder / 'run.yaml'}: ")


def test_every_key_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = load(tmp_path, WHOLE)
    assert (one.name, one.retry.integer("max_attempts")) == ("perspective", 2)
    assert one.backlog == Backlog(
        source="posts.db",
        table="preprocessed_posts",
        columns={
            "uri": "at_uri",
            "text": "text",
            "preprocessing_timestamp": "preprocessing_timestamp",
        },
        where="langs LIKE '%en%'",
        min_text_length=3,
    )
    assert one.sharding == Sharding(rows_per_shard=None, shards=10)
    assert one.checkpoint == CheckpointSettings(rows=100, seconds=30.0)
    assert one.storage == Storage(run_root=tmp_path / "my_runs", database=tmp_path / "my.duckdb")
    assert one.classifier.key_path("type") == "classifier.type"
    assert one.classifier.number("requests_per_minute") == 60.0
    assert one.cluster.text("executor") == "slurm"


def test_what_is_not_given_has_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    one = load(tmp_path, SHORT)
    assert one.backlog.min_text_length == 5
    assert (one.backlog.table, one.backlog.where) == (None, None)
    assert one.sharding == Sharding(rows_per_shard=10_000, shards=None)
    assert one.checkpoint == CheckpointSettings(rows=500, seconds=60.0)
    assert one.storage == Storage(run_root=elsewhere / "runs", database=elsewhere / "labels.duckdb")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("shardings: {}", "shardings: is not a key that anything reads (did you mean 'sharding'?)"),
        (
            "sharding: {rows_per_shrad: 5}",
            "sharding.rows_per_shrad: is not a key that anything reads "
            "(did you mean 'rows_per_shard'?)",
        ),
        (
            "sharding: {rows_per_shard: 5, shards: 2}",
            "sharding.shards: give either rows_per_shard or shards, not both",
        ),
        ("sharding: {shards: 0}", "sharding.shards: should be a whole number, 1 or more, not 0"),
        ("sharding: 5", "sharding: should be a mapping of keys, not 5"),
        ("checkpoint: {seconds: 0}", "checkpoint.seconds: should be more than 0, not 0"),
        (
            "checkpoint: {row: 5}",
            "checkpoint.row: is not a key that anything reads (did you mean 'rows'?)",
        ),
        (
            "storage: {run_roots: x}",
            "storage.run_roots: is not a key that anything reads (did you mean 'run_root'?)",
        ),
        ("storage: {database: 5}", "storage.database: should be text, not 5"),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_its_path(
    tmp_path: Path, text: str, problem: str
) -> None:
    assert refusal(tmp_path, SHORT + text) == problem


@pytest.mark.parametrize(
    ("backlog", "problem"),
    [
        ("{}", "backlog.source: is missing"),
        ("{sources: x}", "backlog.source: is missing (is 'sources' meant to be it?)"),
        ("{source: 5}", "backlog.source: should be text, not 5"),
        (
            "{source: x, columns: {url: y}}",
            "backlog.columns.url: is not a key that anything reads (did you mean 'uri'?)",
        ),
        ("{source: x, columns: {text: 1}}", "backlog.columns.text: should be text, not 1"),
        (
            "{source: x, min_text_length: -1}",
            "backlog.min_text_length: should be a whole number, 0 or more, not -1",
        ),
    ],
)
def test_a_backlog_is_read_strictly(tmp_path: Path, backlog: str, problem: str) -> None:
    assert refusal(tmp_path, f"name: v\nbacklog: {backlog}\n") == problem


@pytest.mark.parametrize("name", ["Perspective", "2nd", "a-b", "a b", 'a"; DROP', "a" * 42])
def test_a_name_must_do_for_a_table(tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path, f"name: {name}\n") == (
        f"name: should be lower-case letters, digits and _ (a table's name), not {name!r}"
    )


def test_a_file_that_is_not_there_or_no_mapping_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        run_config.load(tmp_path / "no.yaml")
    assert str(refused.value) == (
        f"the configuration {tmp_path / 'no.yaml'} cannot be read: No such file or directory"
    )
    assert refusal(tmp_path, "- a\n- b\n") == (
        f"{tmp_path / 'run.yaml'} should be a mapping of keys; see the README's configuration"
    )


@pytest.mark.parametrize(
    "content", [b"name: [", b"name: \xff", b"name: \0", b"a: b: c", b"name: 2024-13-01"]
)
def test_a_file_that_is_no_yaml_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(InputError) as refused:
        run_config.load(tmp_path / "run.yaml")
    assert str(refused.value).startswith(f"{tmp_path / 'run.yaml'} is not valid YAML: ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("classifier: {type: a}\nname: v\nclassifier: {type: b}\n",
         "the key 'classifier' is there twice\n  in \"<unicode string>\", line 3, column 1"),
        ("classifier:\n  labels: {toxic: a, 'toxic': b}\n",
         "the key 'toxic' is there twice\n  in \"<unicode string>\", line 2, column 22"),
        ('name: "\\ud83e"\n',
         "half a character (\\ud800 to \\udfff)\n  in \"<unicode string>\", line 1, column 7"),
    ],
)  # fmt: skip
def test_what_yaml_takes_in_silence_and_nobody_means_is_refused(
    tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "run.yaml"
    assert refusal(tmp_path, text).startswith(f"{file} is not valid YAML: {problem}")


def test_an_emoji_may_be_spelt_as_json_does(tmp_path: Path) -> None:
    spelt = json.dumps({"type": "valence", "moods": ["\N{BUTTERFLY}", "é"]})
    one = load(tmp_path, f"name: v\nbacklog: {{source: x}}\nclassifier: {spelt}\n")
    assert one.classifier.value("moods") == ["\N{BUTTERFLY}", "é"]


def test_a_mapping_may_be_merged_into_another_which_overrules_it(tmp_path: Path) -> None:
    text = (
        "name: v\nbacklog: &b {source: x, where: y}\nclassifier: {<<: *b, where: z, self: &s [*s]}"
    )
    one = load(tmp_path, text).classifier
    assert (one.text("source"), one.text("where")) == ("x", "z")


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("sharding.shards=3", "sharding.shards", 3),
        ("name=other", "name", "other"),
        ("backlog.where=a = 'b=c'", "backlog.where", "a = 'b=c'"),
        ("storage.run_root=x", "storage.run_root", "x"),
        ("backlog.columns={uri: at_uri}", "backlog.columns", {"uri": "at_uri"}),
        ("checkpoint.rows= 7", "checkpoint.rows", 7),
        ("backlog.table=", "backlog.table", None),
    ],
)
def test_an_override_replaces_one_key_and_is_kept_in_what_is_effective(
    tmp_path: Path, override: str, path: str, value: Any
) -> None:
    found: Any = load(tmp_path, SHORT, override).effective
    for key in path.split("."):
        found = found[key]
    assert found == value


def test_an_override_reaches_into_a_section_that_is_given_empty(tmp_path: Path) -> None:
    given = load(tmp_path, SHORT + "retry:\n", "retry.max_attempts=9").retry
    assert given.integer("max_attempts") == 9


def test_a_later_override_wins(tmp_path: Path) -> None:
    one = load(tmp_path, SHORT, "sharding.shards=3", "sharding.shards=4")
    assert one.sharding == Sharding(rows_per_shard=None, shards=4)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("sharding.shards", "--set 'sharding.shards': should be like sharding.shards=10"),
        ("=5", "--set '=5': should be like sharding.shards=10"),
        ("name.first=5", "--set 'name.first=5': name holds no keys"),
        (
            "sharding.shrads=5",
            "sharding.shrads: is not a key that anything reads (did you mean 'shards'?)",
        ),
        (
            "sharding.shards=many",
            "sharding.shards: should be a whole number, 1 or more, not 'many'",
        ),
    ],
)
def test_an_override_is_read_as_strictly_as_the_file(
    tmp_path: Path, override: str, problem: str
) -> None:
    assert refusal(tmp_path, SHORT, override) == problem
    assert refusal(tmp_path, SHORT, "name=[").startswith(
        "--set 'name=[': the value is not valid YAML: "
    )


def test_inputs_are_looked_for_beside_the_file_then_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, working = tmp_path / "configs", tmp_path / "working"
    beside.mkdir()
    working.mkdir()
    monkeypatch.chdir(working)
    cluster = load(beside, SHORT + "cluster: {template: t.yaml}").cluster
    with pytest.raises(InputError) as refused:
        cluster.input_file("template")
    assert str(refused.value) == (
        f"{beside / 'run.yaml'}: cluster.template: there is no file {beside / 't.yaml'} or "
        f"{working / 't.yaml'}"
    )
    (working / "t.yaml").touch()
    assert cluster.input_file("template") == working / "t.yaml"


def test_a_key_that_a_room_of_its_own_reads_is_left_to_it(tmp_path: Path) -> None:
    one = load(tmp_path, SHORT.replace("valence}", "valence, colour: red}"))
    assert one.classifier.text("colour") == "red"
