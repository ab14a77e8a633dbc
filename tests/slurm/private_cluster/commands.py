"""A user's working folder on a private cluster: the verbs, and a scripted classifier."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from tests.hpc.in_process import Done, call_verb
from tests.pipeline.module_path import module_path
from tests.slurm.private_cluster.cluster import SlurmCluster
from tests.slurm.private_cluster.programs import environment

SCRIPTED = '''
import os, pathlib, signal, time
from pipeline.classifiers.base import Classifier
from pipeline.classifiers.options import Options
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Column

class ScriptedOptions(Options, frozen=True, kw_only=True):
    script: str

class Scripted(Classifier[ScriptedOptions]):
    """The next word of file <array index> says what happens; afterwards labels by length."""
    columns = (Column("length", "integer"),)
    model = "scripted"
    needs_numpy = False

    options_type = ScriptedOptions

    def __init__(self, options, share):
        self.folder = pathlib.Path(options.script)

    def classify(self, posts):
        deadly = self.folder / "deadly"
        deadly = deadly.read_text() if deadly.exists() else ""
        is_slow = len(posts) and self.act() == "slow"
        with (self.folder / f"asked-{os.getpid()}").open("a", buffering=1) as asked:
            for post in posts if is_slow else list(posts):
                if post.uri == deadly:
                    os.kill(os.getpid(), signal.SIGKILL)
                asked.write(post.uri + "\\n")
                if is_slow and not (self.folder / "go").exists():
                    time.sleep(0.5)
                yield Answer(post.uri, {"length": len(post.text)})

    def act(self):
        script = self.folder / os.environ["SLURM_ARRAY_TASK_ID"]
        words = script.read_text().split() if script.exists() else []
        script.write_text(" ".join(words[1:]))
        match words[:1]:
            case ["fail"]:
                raise RuntimeError("this was scripted")
            case ["refuse"]:
                raise TaskError(Cause.REFUSED, "the key was refused")
            case ["throttle"]:
                raise TaskError(Cause.THROTTLED, "the quota is used up")
            case ["die"]:
                os.kill(os.getpid(), signal.SIGKILL)
            case ["memory"]:
                hog = bytearray(600 << 20)
                raise AssertionError(f"{len(hog)} bytes were there")
            case ["wait"]:
                while not (self.folder / "go").exists():
                    time.sleep(0.05)
            case ["wait-and-refuse"]:
                while not (self.folder / "go-and-refuse").exists():
                    time.sleep(0.05)
                raise TaskError(Cause.REFUSED, "the key was refused")
        return words[0] if words else None
'''


class Bench:
    """A working folder of a user's on a cluster.

    `config(...)` writes a configuration; `hpc(verb, ...)` runs a verb; `script(index, words)` says
    what the scripted classifier's task of an array index does in its first lives.
    """

    def __init__(self, cluster: SlurmCluster, folder: pathlib.Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.scripts = folder / "script"
        self.scripts.mkdir()
        self._plugins = folder / "plugins"
        info = self._plugins / "scripted-1.dist-info"
        info.mkdir(parents=True)
        (self._plugins / "scripted.py").write_text(SCRIPTED)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scripted\nVersion: 1\n")
        (info / "entry_points.txt").write_text(
            "[pipeline.classifiers]\nscripted = scripted:Scripted\n"
            "unpaced_perspective = "
            "tests.pipeline.classifiers.perspective.unpaced:UnpacedPerspective\n"
        )
        self.env = environment() | cluster.env | {"PYTHONPATH": module_path(self._plugins)}

    def config(self, source: pathlib.Path, **sections: Mapping[str, Any]) -> pathlib.Path:
        """A configuration for the scripted classifier, sections overruled key by key."""
        values: dict[str, Any] = {
            "name": "test",
            "backlog": {"source": str(source)},
            "sharding": {"shards": 4},
            "classifier": {"type": "scripted", "script": str(self.scripts)},
            "cluster": {
                "executor": "slurm",
                "account": "kellogg",
                "time_min": 5,
                "mem_gb": 0.4,
                "max_parallel": 4,
                "grace_seconds": 2,
                "poll_seconds": 0.5,
            },
        }
        for name, section in sections.items():
            values[name] = {**values.get(name, {}), **section}
        if "classifier" in sections:
            values["classifier"] = dict(sections["classifier"])
        path = self.folder / "run.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    def script(self, index: int, words: str) -> None:
        (self.scripts / str(index)).write_text(words)

    def has_begun(self, index: int) -> bool:
        """Whether a task has taken the first of its words: RUNNING says that Slurm has begun."""
        return (self.scripts / str(index)).read_text() == ""

    def asked(self) -> list[str]:
        """The uris that the scripted classifier was asked for, as often as it was."""
        return [
            uri for path in self.scripts.glob("asked-*") for uri in path.read_text().splitlines()
        ]

    def hpc(self, verb: str, *arguments: object, env: Mapping[str, str] | None = None) -> Done:
        """Run a verb in this process. Given `env`, it is a process with that on top of its
        environment: a `shim` may kill it."""
        if env is None:
            return call_verb(
                verb, arguments, folder=self.folder, env=self.env, modules=self._plugins
            )
        return subprocess.run(
            [sys.executable, "-m", f"hpc.{verb}", *map(str, arguments)],
            cwd=self.folder,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    @contextlib.contextmanager
    def started(
        self,
        verb: str,
        *arguments: object,
        log: pathlib.Path = pathlib.Path(os.devnull),
        env: Mapping[str, str] | None = None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A verb at work beside the test; it is ended with the block. Its output goes to `log`."""
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [sys.executable, "-m", f"hpc.{verb}", *map(str, arguments)],
                cwd=self.folder,
                env={**self.env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def document(self, verb: str, *arguments: object, code: int = 0) -> dict[str, Any]:
        """What `--json` prints, the exit code being `code`."""
        done = self.hpc(verb, *arguments, "--json")
        assert done.returncode == code, f"{verb}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def states(self) -> dict[int, tuple[str, str | None]]:
        """State and cause of every shard, whatever `status` exits with."""
        done = self.hpc("status", "--json")
        assert done.stdout, done.stderr
        shards = json.loads(done.stdout)["shards"]
        return {shard["index"]: (shard["state"], shard["cause"]) for shard in shards}

    def accounted(self, jobs: Sequence[int]) -> dict[str, str]:
        """State by task, as accounting has it by now."""
        listed = ",".join(map(str, jobs))
        table = self.cluster.run("sacct", "-n", "-P", "-X", "-j", listed, "-o", "JobID,State")
        return dict(line.split("|") for line in table.splitlines())

    def shim(
        self,
        program: str,
        before: str = "",
        after: str = "",
        *,
        path: str | None = None,
        accepts_tests: bool = False,
    ) -> dict[str, str]:
        """An environment in which shell lines run around a program of Slurm's.

        A test of a script (sbatch --test-only) passes without them, because it submits nothing.
        With `accepts_tests` Slurm seems to accept whatever is tested.
        """
        folder = self.folder / f"shim-{program}"
        folder.mkdir(exist_ok=True)
        real = self.cluster.run("sh", "-c", f"command -v {program}").strip()
        script = folder / program
        answer = "exit 0" if accepts_tests else f'exec {real} "$@"'
        passes = f'case " $* " in *" --test-only "*) {answer};; esac'
        script.write_text(
            f'#!/bin/sh\n{passes}\n{before}\n{real} "$@"\ncode=$?\n{after}\nexit $code\n'
        )
        script.chmod(0o755)
        return {"PATH": f"{folder}{os.pathsep}{path or self.env['PATH']}"}
