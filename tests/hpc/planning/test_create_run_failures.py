"""Planning that fails, is killed or is a dry run leaves nothing behind."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from hpc.executors.slurm.commands import PROGRAMS
from pipeline.errors import InputError
from tests.hpc.cli_bench import Bench, uris
from tests.hpc.planning.run_plans import VALENCE, created, plan_run, spec_of, uris_of
from tests.pipeline.conftest import fill, small_disk
from tests.pipeline.run_builders import SourcePost, posts

__all__ = ["small_disk"]

pytestmark = pytest.mark.usefixtures("in_working_folder")


def test_an_abandoned_planning_folder_is_deleted(bench: Bench) -> None:
    bench.backlog(posts(4))
    abandoned = bench.folder / "runs" / ".planning-20240531T000000-test-0"
    (abandoned / "shards").mkdir(parents=True)
    (abandoned / "staging" / "spill").mkdir(parents=True)
    run = created(bench)
    assert sorted((bench.folder / "runs").iterdir()) == [run.folder]


KILLED = """
import os, pathlib, signal, sys
from hpc.planning import run_spec
from hpc.planning.new_run import create_run
from hpc.executors.slurm.client import Slurm
from pipeline.backlog import select, shards
from hpc.config import run_config
from pipeline.run_files import manifest
{module}.{function} = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
spec = run_spec.validate(run_config.load(pathlib.Path("run.yaml")))
create_run.create_run(spec, run_spec.Selection(), (pathlib.Path.cwd(),), "")
"""


@pytest.mark.parametrize(
    ("module", "function"),
    [("select", "stage_posts"), ("shards", "write_shards"), ("manifest", "write")],
)
def test_planning_that_is_killed_creates_no_run(bench: Bench, module: str, function: str) -> None:
    bench.backlog(posts(4))
    spec_of(bench)
    code = KILLED.format(module=module, function=function)
    killed = subprocess.run([sys.executable, "-c", code], env=bench.env, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert bench.runs() == []
    assert uris_of(created(bench)) == [uris(2), uris(2, first=2)]
    assert list((bench.folder / "runs").glob(".planning-*")) == []


def bad(rows: Sequence[SourcePost]) -> list[SourcePost]:
    return [*rows, SourcePost("", "no uri", rows[-1].preprocessing_timestamp + timedelta(1))]


def test_a_bad_row_leaves_nothing_behind(bench: Bench) -> None:
    source = bench.backlog(bad(posts(4)))
    with pytest.raises(InputError, match=f"^{source}, row 5: "):
        plan_run(bench)
    assert list((bench.folder / "runs").iterdir()) == []


@pytest.mark.parametrize("leaving", [20_000, 300_000])
def test_a_full_disk_leaves_nothing_behind(
    bench: Bench, request: pytest.FixtureRequest, leaving: int
) -> None:
    disk: Path = request.getfixturevalue("small_disk")
    generator = random.Random(7)
    noise = [post._replace(text=generator.randbytes(2000).hex()) for post in posts(1000)]
    bench.backlog(noise)
    fill(disk, leaving=leaving)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as raised:
        plan_run(bench, storage={"run_root": str(disk / "runs")})
    assert raised.value.errno == errno.ENOSPC
    assert list((disk / "runs").iterdir()) == []


def test_a_dry_run_leaves_nothing_behind(bench: Bench, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    bench.config(posts=6, classifier=VALENCE)
    created(bench, 2)
    before = bench.listing()
    dry = bench.hpc("submit", "--config", bench.path, "--dry-run", env={"TMPDIR": str(scratch)})
    assert (dry.returncode, dry.stderr) == (0, "")
    assert list(scratch.iterdir()) == []
    assert bench.listing() == before


def test_a_dry_run_needs_no_slurm(bench: Bench, tmp_path: Path) -> None:
    bench.config(6, classifier=VALENCE, cluster={"executor": "slurm"})
    nowhere = {"PATH": str(tmp_path)}
    dry = bench.hpc("submit", "--config", bench.path, "--dry-run", "--json", env=nowhere)
    assert dry.returncode == 0, dry.stderr
    plan = json.loads(dry.stdout)
    assert (plan["posts"], plan["shards"], plan["waves"]) == (6, 2, 1)
    assert "sbatch" in dry.stderr  # so it was not checked
    assert bench.hpc("submit", "--config", bench.path, env=nowhere).returncode == 1
    assert bench.runs() == []


@pytest.mark.parametrize("words", [("check",), ("submit", "--dry-run", "--after", "7")])
def test_a_plan_asks_a_cluster_that_does_not_answer_only_once(
    bench: Bench, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Each question may take as long as a person waits."""
    sharding = {"shards": None, "target_minutes": 20}
    bench.config(6, classifier=VALENCE, cluster={"executor": "slurm"}, sharding=sharding)
    programs, asked = tmp_path / "programs", tmp_path / "asked"
    programs.mkdir()
    for name in (*PROGRAMS, "sacctmgr"):
        program = programs / name
        program.write_text(f"#!/bin/sh\necho {name} >>{asked}\necho 'not now' >&2\nexit 1\n")
        program.chmod(0o755)
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    done = bench.hpc(words[0], "--config", bench.path, "--json", *words[1:], env=path)
    assert "not now" in done.stdout
    assert asked.read_text().split() == ["scontrol"]
