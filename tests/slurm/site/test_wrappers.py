"""What sites put around Slurm's commands, and cron leaves out."""

import json
import pathlib

import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo")


def wrapped(bench: Bench, before: str, *programs: str) -> dict[str, str]:
    """Return an environment in which these shell lines run before each program."""
    env: dict[str, str] = {}
    for program in programs:
        env = bench.shim(program, before, path=env.get("PATH"))
    return env


def test_banners_change_nothing_and_a_look_asks_slurm_twice(bench: Bench) -> None:
    bench.script(1, "fail")
    source = posts.json_lines(bench.folder / "p.jsonl", 20)
    calls = bench.folder / "calls"
    banner = (
        f"echo ${{0##*/}} >> {calls}\n"
        "printf '\\033[1mWelcome to Quest\\033[0m\\n2026 maintenance: 12-01|08:00\\n'"
    )
    env = wrapped(bench, banner, *PROGRAMS)
    config = bench.config(source)
    assert bench.hpc("submit", "--config", config, env=env).returncode == 0
    calls.unlink()
    assert bench.hpc("status", env=env).returncode in (1, 3)
    assert calls.read_text().split() == ["squeue", "sacct"]
    assert bench.hpc("supervise", env=env).returncode == 0
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(20))


def test_a_restricted_squeue_leaves_accounting_and_the_ids_on_record(bench: Bench) -> None:
    """Such as rc-squeue, which knows few of squeue's options (nextflow#316)."""
    bench.script(0, "slow")
    source = posts.json_lines(bench.folder / "p.jsonl", 200)
    config = bench.config(source, sharding={"shards": 2}, cluster={"max_parallel": 1})
    env = wrapped(bench, "echo 'rc-squeue: unknown option -a' >&2; exit 1", "squeue")
    submitted = bench.hpc("submit", "--config", config, "--json", env=env)
    (job,) = json.loads(submitted.stdout)["array_jobs"]
    wait_for(bench.asked, 60, "the first task is at work")
    wait_for(lambda: "RUNNING" in bench.accounted([job]).values(), 60, "accounting has the array")
    canceled = bench.hpc("cancel", "--json", env=env)
    assert canceled.returncode == 1  # a caretaker might be there
    assert json.loads(canceled.stdout)["cancelled_jobs"] == [job]
    assert bench.cluster.run("squeue", "-h", "-j", str(job), "-t", "R,PD", check=False) == ""

    (bench.scripts / "go").touch()
    resubmitted = lambda: bench.hpc("resubmit", "--force", env=env).returncode == 0  # noqa: E731
    wait_for(resubmitted, 60, "accounting shows both as canceled")
    assert bench.hpc("supervise", env=env).returncode == 0
    assert len(bench.asked()) == 200


def test_without_slurms_commands_nothing_waits_for_them(bench: Bench) -> None:
    """cron: no PATH, no HOME. The program is called by its path."""
    source = posts.json_lines(bench.folder / "p.jsonl", 10)
    config = bench.config(source, sharding={"shards": 1})
    cron = {"PATH": "/nowhere", "HOME": "", "TMPDIR": "/nowhere"}
    refused = bench.hpc("submit", "--config", config, env=cron)
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert not list(pathlib.Path(bench.folder).glob("runs/[0-9]*"))
    bench.document("submit", "--config", config)
    for options in ((), ("--once",)):
        ended = bench.hpc("supervise", *options, env=cron)
        assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
    assert bench.document("supervise")["state"] == "complete"
