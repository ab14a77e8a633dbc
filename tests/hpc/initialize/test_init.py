"""`hpc init` without a terminal: options and proposals answer, and the result can be submitted."""

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hpc.coding.codebook import parse_labels
from hpc.config import run_config
from hpc.initialize.example_prompt import EXAMPLE_LABELS, example_prompt
from hpc.initialize.questions import ask_source
from hpc.initialize.source.inspect_sqlite import inspect_sqlite
from pipeline.backlog.databases import lock_wait
from pipeline.classifiers.llm.placeholders import find_placeholder
from tests.hpc.cli_bench import Bench
from tests.hpc.in_process import Done
from tests.pipeline.backlog.databases.database_files import another_process
from tests.pipeline.backlog.source_files import WRITERS, sqlite_file
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub

ROWS = [
    (f"at://did:plc:a/{i}", f"What a lovely day, number {i}", f"2024-05-31-13:00:0{i}")
    for i in range(5)
]
HOSTILE = "q'\"; DROP TABLE x --\n\u202eé🦋: {a} #b"
KEY = "sk-proj-0123456789abcdefghij"


def init(bench: Bench, *arguments: object, code: int = 0) -> Done:
    """Run `hpc init` where no program of Slurm is on PATH, and no environment is active."""
    hidden = ("VIRTUAL_ENV", "CONDA_PREFIX", "LOADEDMODULES")
    done = bench.hpc(
        "init", *arguments, env={"PATH": str(bench.folder), **dict.fromkeys(hidden, "")}
    )
    assert done.returncode == code, done
    return done


def document(bench: Bench, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(init(bench, *arguments, "--json").stdout)
    return found


def dry_run(bench: Bench, name: str) -> dict[str, Any]:
    return bench.document("submit", "--config", bench.folder / f"{name}.yaml", "--dry-run")


@pytest.mark.parametrize("name", WRITERS)
def test_a_single_source_needs_no_option_and_can_be_submitted(bench: Bench, name: str) -> None:
    WRITERS[name](bench.folder / name, ROWS)
    found = document(bench)
    assert found["source"]["path"] == name
    assert found["source"]["columns"] == {
        "uri": "uri", "text": "text", "preprocessing_timestamp": "preprocessing_timestamp",
    }  # fmt: skip
    assert (found["classifier"], found["executor"]) == ("valence", "local")
    assert found["source"]["rows"] in (5, None)
    assert dry_run(bench, "valence")["posts"] == 5


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("perspective", ()),
        ("moderation", ()),
        ("moderation", ("--base-url", "https://api.mistral.ai/v1")),
        ("llm", ("--base-url", "http://127.0.0.1:9/v1", "--model", "Qwen/Qwen3-8B")),
        ("llm", ("--base-url", "https://a.b.invalid/v1", "--model", "m", "--labels",
                 "toxic:bool,lean:left|right|no,score:number:0:1,stance:integer:1:7,note:text")),
        ("guard", ("--base-url", "http://127.0.0.1:9/v1")),
        ("guard", ("--base-url", "http://127.0.0.1:9/v1", "--model", "Qwen/Qwen3Guard-Gen-4B")),
        ("valence", ()),
    ],
)  # fmt: skip
def test_the_configuration_of_each_classifier_can_be_planned(
    bench: Bench, kind: str, options: tuple[str, ...]
) -> None:
    sqlite_file(bench.folder / "posts.db", ROWS)
    (bench.folder / "my.key").write_text(KEY)
    (bench.folder / "my.key").chmod(0o600)
    found = document(bench, "--classifier", kind, "--api-key-file", "my.key", *options)
    assert found["files"][:2] == [f"{kind}.yaml", "cluster.yaml"]
    assert dry_run(bench, kind)["posts"] == 5


@pytest.mark.parametrize("name", ["posts.db", "posts.csv", "posts.parquet"])
def test_rows_without_a_time_are_left_out(bench: Bench, name: str) -> None:
    WRITERS[name](bench.folder / name, [*ROWS * 4, ("at://did:plc:a/9", "no time", None)])
    done = init(bench, "--uri-column", "uri")
    (note,) = [line for line in done.stdout.splitlines() if "some rows have no time" in line]
    where = run_config.load(bench.folder / "valence.yaml").backlog.where
    assert where
    assert where in note
    assert dry_run(bench, "valence")["posts"] == 5


def test_a_source_that_is_large_is_not_read_for_a_condition(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask_source, "_MOST_ROWS_READ", 20)
    sqlite_file(bench.folder / "posts.db", [*ROWS * 4, ("at://did:plc:a/9", "no time", None)])
    done = init(bench, "--uri-column", "uri")
    assert "set backlog.where in valence.yaml" in done.stdout
    assert run_config.load(bench.folder / "valence.yaml").backlog.where is None


def test_a_local_model_is_configured_before_it_is_downloaded(bench: Bench) -> None:
    sqlite_file(bench.folder / "posts.db", ROWS)
    found = document(bench, "--classifier", "transformers")
    config = run_config.load(bench.folder / "transformers.yaml")
    assert config.sharding.rows_per_shard == 100_000
    assert any("hf download unitary/toxic-bert" in command for command in found["next"])


def test_all_that_is_missing_is_named_at_once(bench: Bench) -> None:
    with closing(sqlite3.connect(bench.folder / "numbers.db")) as connection:
        connection.execute("CREATE TABLE a (x INTEGER)")
        connection.execute("CREATE TABLE b (x INTEGER)")
    before = bench.listing()
    done = init(bench, "--classifier", "llm", "--time", "soon", "--name", "No!", code=2)
    for option in ("--table", "--name", "--base-url", "--model"):
        assert option in done.stderr, option
    assert bench.listing() == before


def test_nothing_is_overwritten_and_force_keeps_the_old_files(bench: Bench) -> None:
    sqlite_file(bench.folder / "posts.db", ROWS)
    (bench.folder / "valence.yaml").write_text("mine")
    done = init(bench, code=2)
    assert str(bench.folder / "valence.yaml") in done.stderr
    assert not (bench.folder / "cluster.yaml").exists()
    kept = document(bench, "--force")["kept"]
    assert (bench.folder / kept["valence.yaml"]).read_text() == "mine"
    assert dry_run(bench, "valence")["posts"] == 5


def test_a_second_configuration_uses_the_template_of_the_first(bench: Bench) -> None:
    sqlite_file(bench.folder / "posts.db", ROWS)
    init(bench)
    init(bench, "--name", "second", code=2)
    template = (bench.folder / "cluster.yaml").read_bytes()
    assert document(bench, "--name", "second", "--template", "cluster.yaml")["files"] == [
        "second.yaml"
    ]
    assert (bench.folder / "cluster.yaml").read_bytes() == template


def test_a_disk_that_fails_leaves_nothing_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_file(bench.folder / "posts.db", ROWS)
    (bench.folder / "project").mkdir()
    (bench.folder / "project" / ".hpc").write_text("a file where the folder should be")
    init(bench, "project", "--source", "posts.db", code=1)
    assert [path.name for path in (bench.folder / "project").iterdir()] == [".hpc"]


def test_a_project_in_another_folder_finds_its_source(bench: Bench) -> None:
    (bench.folder / "data").mkdir()
    sqlite_file(bench.folder / "data" / "posts.db", ROWS)
    found = document(bench, "new/project", "--source", "data/posts.db")
    assert found["next"][0] == "cd new/project"
    config = bench.folder / "new" / "project" / "valence.yaml"
    assert bench.document("submit", "--config", config, "--dry-run")["posts"] == 5


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def write_table(path: Path, table: str, columns: list[str], rows: list[Any]) -> None:
    """Write rows as what the ending of the path says."""
    if path.suffix in (".db", ".duckdb"):
        connect: Any = sqlite3.connect if path.suffix == ".db" else duckdb.connect
        with closing(connect(str(path))) as connection:
            declared = ", ".join(f"{quoted(column)} VARCHAR" for column in columns)
            connection.execute(f"CREATE TABLE {quoted(table)} ({declared})")
            places = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {quoted(table)} VALUES ({places})", rows)
            connection.commit()
    elif path.suffix == ".csv":
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([columns, *rows])
    else:
        path.write_text("\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows))


@pytest.mark.parametrize("kind", ["db", "csv", "jsonl", "duckdb"])
def test_hostile_names_of_files_tables_and_columns_are_written_as_they_are(
    bench: Bench, kind: str
) -> None:
    path = bench.folder / f"{HOSTILE}.{kind}"
    # A line break in the header of a CSV file is not read.
    hostile = HOSTILE.replace("\n", " ") if kind == "csv" else HOSTILE
    columns = [f"{hostile} {role}" for role in ("key", "body", "time")]
    write_table(path, HOSTILE, columns, ROWS)
    flags = ("--uri-column", "--text-column", "--timestamp-column")
    given = [word for pair in zip(flags, columns, strict=True) for word in pair]
    found = document(bench, "--source", path.name, *given)
    assert found["source"]["path"] == path.name
    assert list(found["source"]["columns"].values()) == columns
    assert dry_run(bench, "valence")["posts"] == 5


def test_the_posts_are_found_among_200_tables_and_other_files(bench: Bench) -> None:
    path = bench.folder / "big.db"
    with closing(sqlite3.connect(path)) as connection:
        for number in range(200):
            connection.execute(f"CREATE TABLE other_{number} (a INTEGER, b TEXT)")
        connection.commit()
    columns = ["post_id", *(f"extra_{number}" for number in range(500)), "body", "collected_at"]
    rows = [(uri, *["x"] * 500, text, time) for uri, text, time in ROWS]
    write_table(path, "posts", columns, rows)
    (bench.folder / "package.json").write_text('{"name": "a", "version": "1"}')
    (bench.folder / "notes.csv").write_text("a,b,c\n1,2,3\n4,5,6\n")
    found = document(bench)
    assert (found["source"]["path"], found["source"]["table"]) == ("big.db", "posts")
    assert found["source"]["columns"]["text"] == "body"


def test_files_of_a_subfolder_are_one_source(bench: Bench) -> None:
    for day in range(3):
        folder = bench.folder / "posts" / f"day={day}"
        WRITERS["posts.parquet"](folder / "part.parquet", [ROWS[day]])
    found = document(bench)
    assert (found["source"]["path"], found["source"]["files"]) == ("posts/**/*.parquet", 3)
    assert found["source"]["rows"] == 3
    assert dry_run(bench, "valence")["posts"] == 3


def test_a_large_table_is_counted_by_its_row_numbers(tmp_path: Path) -> None:
    path = tmp_path / "large.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE posts (text TEXT)")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 120000) "
            "INSERT INTO posts SELECT 'a text of some length' FROM n"
        )
        connection.execute("DELETE FROM posts WHERE rowid % 50 = 0")
        connection.execute("CREATE TABLE snowflakes (id INTEGER PRIMARY KEY, text TEXT)")
        connection.execute("INSERT INTO snowflakes SELECT rowid * 10000000000, text FROM posts")
        connection.commit()
    posts, snowflakes = inspect_sqlite(path)
    assert (posts.rows, posts.is_estimate) == (119_999, True)
    assert snowflakes.rows is None


def test_a_locked_source_is_named_and_nothing_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_wait, "LOCK_WAIT_S", 0.0)
    path = sqlite_file(bench.folder / "posts.db", ROWS)
    with another_process(path, "BEGIN EXCLUSIVE"):
        done = init(bench, "--source", "posts.db", code=1)
    assert "posts.db" in done.stderr
    assert not (bench.folder / "valence.yaml").exists()


@pytest.mark.parametrize(
    "source", ["https://example.org/posts.csv", "me@host:/data/posts.db", "s3://bucket/posts"]
)
def test_a_source_on_another_machine_is_rejected(bench: Bench, source: str) -> None:
    assert "--source" in init(bench, "--source", source, code=2).stderr


@pytest.mark.parametrize("option", ["--api-key-file", "--api-key-env"])
def test_a_key_in_place_of_its_file_is_rejected_and_not_shown(bench: Bench, option: str) -> None:
    sqlite_file(bench.folder / "posts.db", ROWS)
    done = init(bench, "--classifier", "perspective", option, KEY, code=2)
    assert KEY not in done.stdout + done.stderr


def test_a_key_file_in_the_repository_is_ignored_by_git(bench: Bench) -> None:
    sqlite_file(bench.folder / "posts.db", ROWS)
    (bench.folder / ".git").mkdir()
    (bench.folder / ".gitignore").write_text("*.pyc\n/runs/")
    document(bench, "--classifier", "perspective", "--api-key-file", "my.key")
    lines = (bench.folder / ".gitignore").read_text().splitlines()
    assert lines[:2] == ["*.pyc", "/runs/"]
    assert {"/labels.duckdb*", "/posts.db", "/my.key"} <= set(lines)
    assert lines.count("/runs/") == 1


def unasked(body: dict[str, Any], number: int) -> Reply:
    raise AssertionError("a project is started without asking a model")


def test_the_only_model_of_a_server_is_taken(bench: Bench) -> None:
    sqlite_file(bench.folder / "posts.db", ROWS)
    (bench.folder / "my.key").write_text(KEY)
    (bench.folder / "my.key").chmod(0o600)
    key = ("--api-key-file", bench.folder / "my.key")
    with OpenAIStub(unasked, models=["Qwen/Qwen3-8B"], key=KEY) as server:
        document(bench, "--classifier", "llm", "--base-url", server.base_url, *key)
    config = run_config.load(bench.folder / "llm.yaml")
    options = config.classifier.options.to_json()
    assert options["model"] == "Qwen/Qwen3-8B"
    assert options["request"] == {"chat_template_kwargs": {"enable_thinking": False}}


def test_only_the_prompt_of_the_example_needs_no_editing() -> None:
    labels = parse_labels(EXAMPLE_LABELS)
    assert "Replace" not in example_prompt(labels)
    assert find_placeholder(example_prompt(labels)) is None
    other = example_prompt(parse_labels("lean:left|right,score:number:0:1"))
    assert find_placeholder(other) is None
    assert "lean" in other
