"""A user's working folder on one machine: a backlog, a configuration, and the verbs."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import yaml

from hpc.executors.local.executor import LocalExecutor
from hpc.reconcile.look import look
from hpc.run import run_folder
from hpc.run.model.run import Run
from hpc.runs import find_runs
from tests.hpc.in_process import Done, call_verb
from tests.pipeline import run_builders, scripted_classifier
from tests.pipeline.backlog.source_files import json_lines_file
from tests.pipeline.module_path import module_path
from tests.pipeline.run_builders import SourcePost
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
CLASSIFIERS = """[pipeline.classifiers]
scripted = tests.hpc.scripted_tasks:ShardScripted
unpaced_perspective = tests.pipeline.classifiers.perspective.unpaced:UnpacedPerspective
"""
Process = subprocess.Popen[str]


class Bench:
    """A folder with a backlog and a configuration, in which verbs are run.

    `backlog` and `config` write the files; `hpc` runs a verb in this process, `start` and
    `hpc_process` run it as a process; `script` says what the first attempts of a shard do.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shard_scripts = folder / "shard_scripts"
        self.shard_scripts.mkdir()
        self.path = folder / "run.yaml"
        self.site = scripted_classifier.install(folder)
        entries = self.site / "scripted-1.dist-info" / "entry_points.txt"
        entries.write_text(CLASSIFIERS)

    @property
    def env(self) -> dict[str, str]:
        """The environment of verbs, and so of their tasks."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
        return {**inherited, "PYTHONPATH": module_path(self.site)}

    def backlog(self, rows: Sequence[SourcePost]) -> Path:
        times = [post.preprocessing_timestamp for post in rows]
        # strftime does not write all four digits of years before 1000.
        stamps = [f"{time.date()}-{time:%H:%M:%S}" for time in times]
        given = [(post.uri, post.text, stamp) for post, stamp in zip(rows, stamps, strict=True)]
        return json_lines_file(self.folder / "posts.jsonl", given)

    def config(self, posts: int | None = None, **sections: Any) -> Path:
        """Write a configuration: two shards of the scripted classifier, and other sections key by
        key. With `posts`, also write a backlog of that many."""
        if posts is not None:
            self.backlog(run_builders.posts(posts))
        values: dict[str, Any] = {
            "name": "test",
            "backlog": {"source": "posts.jsonl"},
            "sharding": {"shards": 2},
            "classifier": scripted_classifier.options(
                self.folder, shard_scripts=str(self.shard_scripts)
            ),
            "cluster": {"executor": "local", "max_parallel": 2},
        }
        for name, section in sections.items():
            both = isinstance(section, dict) and isinstance(values.get(name), dict)
            fresh = name == "classifier" and "type" in section
            values[name] = {**values[name], **section} if both and not fresh else section
        self.path.write_text(yaml.safe_dump(values))
        return self.path

    def script(self, shard: int, words: str) -> None:
        """Write a word of `ShardScripted` for each of the shard's first attempts."""
        (self.shard_scripts / str(shard)).write_text(words)

    def start(self, verb: str, *arguments: object, env: Mapping[str, str] | None = None) -> Process:
        return self._process(["-m", f"hpc.{verb}", *map(str, arguments)], env)

    def python(self, code: str, *arguments: object) -> Done:
        return ended(self._process(["-c", code, *map(str, arguments)]))

    def _process(self, arguments: list[str], env: Mapping[str, str] | None = None) -> Process:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def hpc(self, verb: str, *arguments: object, env: Mapping[str, str] | None = None) -> Done:
        every = {**self.env, **(env or {})}
        return call_verb(verb, arguments, folder=self.folder, env=every, modules=self.site)

    def hpc_process(self, verb: str, *arguments: object) -> Done:
        """`hpc`, for what only a process of its own can show."""
        return ended(self.start(verb, *arguments))

    def submit(self, *arguments: object) -> Done:
        return self.hpc("submit", "--config", self.path, *arguments)

    def document(self, verb: str, *arguments: object, code: int = 0) -> dict[str, Any]:
        """What `--json` prints, the exit code being `code`."""
        done = self.hpc(verb, *arguments, "--json")
        assert done.returncode == code, done
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def states(self) -> list[tuple[str, str | None, int]]:
        """State, cause and attempts of every shard of the newest run."""
        now = look(run_folder.load(self.runs()[-1]), LocalExecutor())
        return [
            (str(one.state), one.cause and str(one.cause), len(facts.attempts))
            for one, facts in zip(now.judgements, now.observation.shards, strict=True)
        ]

    def runs(self) -> list[Path]:
        return find_runs.all_runs(self.folder / "runs")  # in order, also of one second

    def hurry(self) -> None:
        """From now on the scripted classifier takes no time for a post."""
        (self.folder / scripted_classifier.HURRY).touch()

    def asked(self) -> Counter[str]:
        return scripted_classifier.asked(self.folder)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "labels.duckdb"), read_only=True) as database:
            return database.execute(sql).fetchall()

    def listing(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))


def ended(process: Process) -> Done:
    """Its exit code and what it printed."""
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Done(process.args, process.returncode, out, err)


def outcome(done: Done) -> tuple[int, str]:
    """Exit code and stderr, which holds no traceback."""
    return exit_code(done), done.stderr


def exit_code(done: Done) -> int:
    """Return the exit code of a verb that printed no traceback."""
    assert "Traceback" not in done.stderr + done.stdout, done
    return done.returncode


def uris(count: int, first: int = 0) -> list[str]:
    return [run_builders.uri(number) for number in range(first, first + count)]


def once(count: int) -> Counter[str]:
    """What was asked where nothing was paid for twice."""
    return Counter(uris(count))


LOCAL = run_builders.LOCAL_CLUSTER


def valence_run(folder: Path, count: int, *, shards: int = 2, **more: Any) -> Run:
    """A planned run of the local executor, without a task."""
    rows = more.pop("rows", None) or run_builders.posts(count)
    made, _ = run_builders.make_run(folder, rows, shards=shards, cluster=LOCAL, **more)
    return run_folder.load(made)
