"""Several people use one run folder: a group with umask 002, and a user who keeps others out."""

import contextlib
import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hpc.cli_bench import ROOT, Bench, exit_code
from tests.hpc.locks.test_lock_owner import HOLDS
from tests.hpc.users import ANA, BO, GROUP, call, command_of, only_root, shared_folder
from tests.hpc.verbs.test_moved_projects import rows, run_in
from tests.pipeline import run_builders

pytestmark = only_root


@pytest.fixture
def study(bench: Bench) -> Iterator[Path]:
    """Yield the shared project of a group, with a configuration for four posts."""
    bench.config(4, classifier={"type": "valence"}, storage={"trust_group": True})
    with shared_folder() as project:
        for name in ("posts.jsonl", "run.yaml"):
            shutil.copyfile(bench.folder / name, project / name)
            (project / name).chmod(0o664)
            os.chown(project / name, ANA, GROUP)
        yield project


def new_posts(bench: Bench, study: Path) -> None:
    bench.backlog(run_builders.posts(6))
    shutil.copyfile(bench.folder / "posts.jsonl", study / "posts.jsonl")


def closed_to_the_group(project: Path) -> list[str]:
    closed = []
    for path in project.rglob("*"):
        status = path.stat()
        wanted = stat.S_IRGRP | stat.S_IWGRP | (stat.S_IXGRP if path.is_dir() else 0)
        if status.st_gid != GROUP or status.st_mode & wanted != wanted:
            closed.append(f"{path.relative_to(project)} {stat.filemode(status.st_mode)}")
    return closed


def test_a_colleague_continues_a_run_and_submits_another(bench: Bench, study: Path) -> None:
    assert exit_code(call(bench, study, ANA, "submit", "--config", "run.yaml")) == 0
    (run_in(study) / "outputs" / "00001.parquet").unlink()
    assert exit_code(call(bench, study, BO, "supervise")) == 0
    assert rows(study / "labels.duckdb") == 4
    new_posts(bench, study)
    assert exit_code(call(bench, study, BO, "submit", "--config", "run.yaml")) == 0
    assert rows(study / "labels.duckdb") == 6
    assert closed_to_the_group(study) == []
    owners = {path.stat().st_uid for path in (study / "runs").iterdir()}
    assert owners == {ANA, BO}


def test_a_refusal_names_the_owner_and_the_file(bench: Bench, study: Path) -> None:
    submitted = call(bench, study, ANA, "submit", "--config", "run.yaml", umask=0o022)
    assert exit_code(submitted) == 0
    run = run_in(study)
    (run / "outputs" / "00001.parquet").unlink()
    assert exit_code(call(bench, study, BO, "status")) == 1
    assert exit_code(call(bench, study, BO, "logs", 0)) == 0
    closed = {
        "resubmit": run / ".lock",
        "submit": study / "runs" / ".lock",
        "gather": study / "labels.duckdb",
    }
    for verb, path in closed.items():
        config = ("--config", "run.yaml") if verb == "submit" else ()
        refused = call(bench, study, BO, verb, *config)
        assert exit_code(refused) == 1
        assert refused.stderr.startswith(f"error: {path}: {os.strerror(errno.EACCES)}")
        assert f"user {ANA}" in refused.stderr
    # The lock alone was opened: the tasks could not write.
    (run / ".lock").chmod(0o666)
    refused = call(bench, study, BO, "resubmit")
    assert (exit_code(refused), f"user {ANA}" in refused.stderr) == (1, True)
    assert not (run / "submissions" / "0002.json").exists()
    # Nothing is submitted whose labels could not be gathered.
    new_posts(bench, study)
    (study / "runs").chmod(0o2775)
    (study / "runs" / ".lock").chmod(0o666)
    refused = call(bench, study, BO, "submit", "--config", "run.yaml")
    assert exit_code(refused) == 1
    assert refused.stderr.startswith(
        f"error: {study / 'labels.duckdb'}: {os.strerror(errno.EACCES)}"
    )
    assert run_in(study) == run
    with held_by(ANA, run) as holder:
        refused = call(bench, study, BO, "cancel")
        assert (exit_code(refused), f"pid {holder.pid} of user {ANA}" in refused.stderr) == (
            1,
            True,
        )
        assert holder.poll() is None


def test_without_trust_a_shared_folder_is_refused_and_both_ways_on_work(
    bench: Bench, study: Path
) -> None:
    distrusting = ("--config", "run.yaml", "--set", "storage.trust_group=false")
    (study / "runs").mkdir()
    os.chown(study / "runs", ANA, GROUP)
    (study / "runs").chmod(0o2775)
    for dry_run in ((), ("--dry-run",)):
        refused = call(bench, study, ANA, "submit", *distrusting, *dry_run)
        assert exit_code(refused) == 2
        assert f"{study}/runs (drwxrwsr-x, owner user {ANA}, group {GROUP})" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert list((study / "runs").iterdir()) == []
    # One way: keep the group out. The umask of a group would open the run again.
    (study / "runs").chmod(0o2755)
    assert exit_code(call(bench, study, ANA, "submit", *distrusting)) == 0
    run = run_in(study)
    assert [path for path in run.rglob("*") if path.stat().st_mode & 0o022] == []
    assert rows(study / "labels.duckdb") == 4
    # The other way: trust it.
    (run / "logs").chmod(0o2775)
    refused = call(bench, study, ANA, "gather")
    assert (exit_code(refused), f"{run}/logs" in refused.stderr) == (2, True)
    assert exit_code(call(bench, study, ANA, "resubmit", "--set", "storage.trust_group=true")) == 0
    assert exit_code(call(bench, study, ANA, "gather")) == 0


@pytest.mark.parametrize(("umask", "closed"), [(0o022, 0o027), (0o002, 0o007), (0o077, 0o077)])
def test_what_a_run_writes_is_closed_to_others(
    bench: Bench, study: Path, umask: int, closed: int
) -> None:
    submitted = call(bench, study, ANA, "submit", "--config", "run.yaml", umask=umask)
    assert exit_code(submitted) == 0
    written = [study / "runs", *(study / "runs").rglob("*"), study / "labels.duckdb"]
    assert len(written) > 20
    modes = {str(path): oct(path.stat().st_mode & 0o777) for path in written
             if path.stat().st_mode & closed}  # fmt: skip
    assert modes == {}


def test_folders_that_exist_keep_their_mode(bench: Bench, study: Path) -> None:
    (study / "runs").mkdir()
    os.chown(study / "runs", ANA, GROUP)
    (study / "runs").chmod(0o2775)
    assert exit_code(call(bench, study, ANA, "submit", "--config", "run.yaml")) == 0
    assert (study / "runs").stat().st_mode & 0o7777 == 0o2775


@contextlib.contextmanager
def held_by(user: int, run: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a process of a user that holds a run's lock."""
    process = subprocess.Popen(
        command_of(user, sys.executable, "-c", HOLDS, run),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout and process.stdout.readline()
    yield process
    process.communicate()
