"""What the documentation tells a reader to type, typed: the tutorial, the README, the examples."""

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from tests.docs.pages import ROOT, Block, read
from tests.hpc.in_process import Done, call_verb
from tests.waiting import PATIENCE_S

# What a reader does once, and the tests' own environment has done already.
INSTALLING = ("python3 -m venv", "source ", "pip install", "module load", "export ")

SHELL_SYNTAX = frozenset("|&;<>$`*?#\\\n")


class Reader:
    """Someone who follows pages in a folder of their own, with the program installed."""

    def __init__(self, folder: Path) -> None:
        """Start in a folder that has only a copy of the project's configurations."""
        self.folder = folder
        shutil.copytree(ROOT / "configs", folder / "configs")
        self._env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
        }

    def save_files(self, blocks: list[Block]) -> None:
        """Save the blocks that have a title under that name."""
        for block in blocks:
            if block.title:
                path = self.folder / block.title
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")

    def type(self, command: str, *, exit_code: int = 0) -> str:
        """Type a command; return what it printed. It has to end with this exit code.

        A plain `hpc VERB` runs in this process, which saves a second; all else runs in a shell.
        """
        words = [] if set(command) & SHELL_SYNTAX else shlex.split(command)
        if words[:1] != ["hpc"]:
            return self._run("bash", "-c", command)
        done = call_verb(
            words[1], words[2:], folder=self.folder, env=self._env, modules=self.folder
        )
        return self._printed(command, done, exit_code)

    def run_python(self, code: str) -> str:
        """Run a block of Python; return what it printed."""
        return self._run(sys.executable, "-c", code)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Query the database that the commands have made."""
        with duckdb.connect(str(self.folder / "labels.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def follow(self, page: str) -> None:
        """Do everything that a page says, from top to bottom."""
        blocks = read(page).blocks
        self.save_files(blocks)
        for block in blocks:
            if block.language == "console":
                for line in block.text.splitlines():
                    if line.startswith("$ ") and not line[2:].startswith(INSTALLING):
                        self.type(line[2:])
            elif block.language == "python" and not block.title:
                self.run_python(block.text)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self._env, stdin=subprocess.DEVNULL, check=False,
            capture_output=True, text=True, timeout=PATIENCE_S,
        )  # fmt: skip
        return self._printed(command[-1], done)

    @staticmethod
    def _printed(command: str, done: Done, exit_code: int = 0) -> str:
        assert done.returncode == exit_code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Return a reader who has labeled a hundred posts; for tests that only look."""
    made = Reader(tmp_path_factory.mktemp("labeled"))
    made.type("hpc submit --config configs/quickstart.yaml --limit 100")
    return made


def test_the_tutorial_on_a_laptop_ends_with_labels_in_pandas(reader: Reader) -> None:
    pytest.importorskip("pandas")
    reader.follow("docs/tutorial/laptop.md")
    rows = reader.query(
        "SELECT uri, valence_label, reason FROM labels_my_valence ORDER BY preprocessing_timestamp"
    )
    assert rows == [
        ("post-1", "positive", None),
        ("post-2", "negative", None),
        ("post-3", "neutral", None),
        ("post-4", None, "text_too_short"),
    ]
    assert (reader.folder / "labels.parquet").is_file()


def test_the_page_on_random_samples_ends_with_labels_of_the_uncertain_posts(
    reader: Reader,
) -> None:
    reader.follow("docs/how-to/draw-a-random-sample.md")
    ((uncertain,),) = reader.query(
        "SELECT count(*) FROM labels_valence WHERE compound BETWEEN -0.2 AND 0.2"
    )
    assert reader.query(
        "SELECT sample, count(*), round(sum(posts / inclusion_probability)) FROM samples "
        "GROUP BY ALL ORDER BY ALL"
    ) == [
        ("second_opinion-s1-n20-of-valence-where", 20, uncertain),
        ("valence-s42-n200", 200, 2980.0),
        ("valence-s42-n200-by-langs", 200, 2980.0),
        ("valence-s42-n200-by-langs-equal", 200, 2980.0),
        ("valence-s42-n300", 300, 2980.0),
    ]
    labels = dict(reader.query("SELECT run_id, sample FROM runs WHERE name = 'second_opinion'"))
    assert set(labels.values()) == {"valence-s42-n200", "second_opinion-s1-n20-of-valence-where"}


def test_the_readme_reads_the_labels_of_its_quickstart(reader: Reader) -> None:
    pytest.importorskip("pandas")
    blocks = read("README.md").blocks
    quickstart = next(block.text for block in blocks if block.language == "bash")
    reader.type(quickstart.rpartition("&&")[2].replace(".venv/bin/", ""))
    export = next(block.text for block in blocks if "$ hpc export" in block.text)
    reader.type(export.removeprefix("$ ").strip())
    (code,) = (block.text for block in blocks if block.language == "python")
    described = reader.run_python(code)
    assert [line.split()[0] for line in described.splitlines()[2:5]] == [
        "negative",
        "neutral",
        "positive",
    ]


def test_the_example_of_a_classifier_labels_posts(reader: Reader) -> None:
    page = "docs/reference/classifiers.md"
    blocks = read(page).blocks
    reader.save_files(blocks)
    install_without_pip(reader.folder)
    reader.follow(page)
    rows = reader.query("SELECT count(*), bool_or(is_question), min(model) FROM labels_wordcount")
    assert rows == [(100, True, "wordcount 1")]


def test_the_examples_in_the_reference_of_commands_run(reader: Reader) -> None:
    """On a run of ten shards, four of which are without their output from `resubmit` to `audit`."""
    with closing(sqlite3.connect(reader.folder / "posts.db")) as posts, posts:
        posts.execute("CREATE TABLE posts (uri, text, preprocessing_timestamp)")
        posts.execute("INSERT INTO posts VALUES ('u1', 'hello', '2024-05-31-13:00:00')")
    reader.type("hpc submit --config configs/quickstart.yaml --set sharding.rows_per_shard=298")
    examples = [
        line[2:]
        for block in read("docs/reference/commands.md").blocks
        for line in block.text.splitlines()
        if line.startswith("$ hpc ")
    ]
    away = {}
    for example in examples:
        if example.startswith("hpc resubmit"):
            for index in (3, 7, 8, 9):
                output = next(reader.folder.glob(f"runs/*/outputs/{index:05d}.parquet"))
                away[output] = output.rename(reader.folder / output.name)
        if example.startswith("hpc audit"):
            for output, path in away.items():
                path.rename(output)
        # They need labels of two classifiers, of people, or of another engine.
        if not example.startswith(("hpc compare", "hpc gold", "hpc report", "hpc adopt")):
            reader.type(example)


def install_without_pip(folder: Path) -> None:
    """Make a package in a folder on Python's path known, with its entry points."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


def test_the_query_in_the_reference_runs_on_a_database(labeled: Reader) -> None:
    (query,) = (b.text for b in read("docs/reference/tables.md").blocks if b.language == "sql")
    first = "(SELECT min(preprocessing_timestamp) FROM labels_valence)"
    rows = labeled.query(
        query.replace("'perspective'", "'valence'").replace(
            "TIMESTAMP '2024-05-31 13:00:00'", first
        )
    )
    assert [row[1:5] for row in rows] == [(0, "done", None, 1)]


def test_the_reference_has_every_table_and_column_of_a_database(labeled: Reader) -> None:
    page = read("docs/reference/tables.md")
    labels = {"compound", "valence_label"}
    for table, heading in (
        ("labels_valence", r"labels_\<name\>"),
        ("runs", "runs"),
        ("shards", "shards"),
        ("attempts", "attempts"),
        ("watermarks", "watermarks"),
    ):
        documented = {}
        for names, kinds, *_ in page.table(heading):
            if names.startswith("`"):
                columns, types = names.replace("`", "").split(", "), kinds.split(", ")
                each = types if len(types) > 1 else types * len(columns)
                documented |= dict(zip(columns, each, strict=True))
        described = {str(name): kind for name, kind, *_ in labeled.query(f"DESCRIBE {table}")}
        assert documented == {n: kind for n, kind in described.items() if n not in labels}


def code_all(path: Path, target: Path, word: str) -> None:
    """Write the same word into the last column of every row of a coding file."""
    first, *rows = path.read_text(encoding="utf-8").splitlines()
    lines = [first, *(row + word if row.endswith(",") else row for row in rows)]
    target.write_text("\n".join(lines), encoding="utf-8")


DOCUMENTS = {
    "submit": "--config configs/quickstart.yaml --dry-run",
    "status": "--efficiency",
    "resubmit": "--dry-run",
    "gather": "",
    "cancel": "",
    "logs": "0",
    "audit": "--config configs/quickstart.yaml",
    "compare": "valence trial --resamples 10",
    "export": "valence --to labels.parquet --force",
    "sample": "valence --n 5 --out coding.csv",
    "gold": "coded.csv --as gold_anna",
}


def test_the_reference_names_the_keys_of_every_json_document(labeled: Reader) -> None:
    pytest.importorskip("scipy")
    labeled.type("hpc submit --config configs/quickstart.yaml --set name=trial --limit 100")
    page = read("docs/reference/commands.md").text
    for verb, arguments in DOCUMENTS.items():
        section = page.split(f"\n## {verb}\n")[1].split("\n## ")[0].partition("`--json`:")[2]
        first_cells = re.findall(r"^\| (`.+?) \|", section.split("\n### ")[0], re.MULTILINE)
        sentence = section.split("\n")[0].partition("; with")[0]
        sentence = re.sub(r"`shards`, a list with one object per shard: .*", "`shards`", sentence)
        documented = re.findall(r"`(\w+)`", " ".join(first_cells) or sentence)
        if verb == "gold":
            code_all(labeled.folder / "coding.csv", labeled.folder / "coded.csv", "neutral")
        # All posts but a hundred are new.
        exit_code = 3 if verb == "audit" else 0
        document = json.loads(labeled.type(f"hpc {verb} {arguments} --json", exit_code=exit_code))
        assert set(documented) == document.keys(), verb
