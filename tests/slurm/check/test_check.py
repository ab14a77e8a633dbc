"""`hpc check` asks a real Slurm about a script, and a job about a node."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hpc.in_process import Done
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

VALENCE = {"type": "valence"}
# The interpreter below the virtual environment, without its packages.
BARE_PYTHON = str(Path(sys.executable).resolve())


def configure(bench: Bench, **cluster: Any) -> Path:
    source = posts.json_lines(bench.folder / "p.jsonl", 20)
    return bench.config(source, classifier=VALENCE, cluster=cluster)


def findings(done: Done) -> dict[str, list[dict[str, str]]]:
    assert "Traceback" not in done.stderr, done.stderr
    found: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(done.stdout):
        found.setdefault(finding["check"], []).append(finding)
    return found


def errors(found: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {
        part: f"{each['message']} -> {each['remedy']}"
        for part, listed in found.items()
        for each in listed
        if each["level"] == "error"
    }


def nothing_is_left(bench: Bench) -> bool:
    """Tell whether neither a job nor a folder of a check is there."""
    names = bench.cluster.run("squeue", "-h", "-t", "PD,R", "-o", "%j").split()
    folders = list(bench.folder.glob("**/.check-*"))
    return not folders and not any(name.startswith("hpc-check-") for name in names)


@pytest.mark.parametrize(
    ("keys", "part", "words"),
    [
        ({"partition": "norml"}, "script", "did you mean 'normal'?"),
        ({"account": "kelogg"}, "script", "did you mean 'kellogg'?"),
        ({"qos": "golden"}, "script", "yours: normal"),
        ({"constraint": "h100"}, "script", "cluster.constraint"),
        ({"gres": "gpu:1"}, "script", "cluster.gres"),
        ({"extra": {"reservation": "mine"}}, "script", "scontrol show reservation"),
        ({"mem_gb": 4000}, "resources", "cluster.mem_gb"),
        ({"time": "9-00:00:00"}, "resources", "cluster.time"),
    ],
)
def test_what_slurm_would_refuse_is_an_error_with_a_remedy(
    bench: Bench, keys: dict[str, Any], part: str, words: str
) -> None:
    done = bench.hpc("check", "--config", configure(bench, **keys), "--json")
    assert done.returncode == 1
    assert words in errors(findings(done))[part]
    dry = bench.hpc("submit", "--config", bench.folder / "run.yaml", "--dry-run", "--json")
    assert dry.returncode == (2 if part == "resources" else 1)
    assert part in [each["check"] for each in json.loads(dry.stdout)["checks"]]


def test_the_script_of_a_dry_run_is_the_one_that_is_submitted(bench: Bench) -> None:
    config = configure(bench, setup=["true"])
    planned = json.loads(bench.hpc("submit", "--config", config, "--dry-run", "--json").stdout)
    run_id = bench.document("submit", "--config", config, "--wait")["run_id"]
    submitted = (bench.folder / "runs" / run_id / "logs/0001/sbatch.sh").read_text()

    def without_id(script: str) -> list[str]:
        lines = (line for line in script.splitlines() if "#SBATCH --job-name" not in line)
        return [line.replace(run_id, "ID").replace(planned_id, "ID") for line in lines]

    planned_id = planned["script"].split("/logs/0001")[0].rpartition("/")[2]
    assert without_id(planned["script"]) == without_id(submitted)


def test_a_job_looks_at_a_node_and_leaves_nothing(bench: Bench) -> None:
    done = bench.hpc("check", "--config", configure(bench), "--node", "--json")
    assert done.returncode == 0, done
    found = findings(done)
    assert errors(found) == {}
    said = " ".join(finding["message"] for finding in found["node"])
    for words in ("shares", "imports everything", "file locks", "clocks", "one post was labeled"):
        assert words in said
    assert nothing_is_left(bench)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"python": BARE_PYTHON, "setup": ["unset PYTHONPATH"]}, "No module named"),
        ({"python": "no-such-python"}, "no-such-python"),
        ({"setup": ["source /nonexistent/activate"]}, "cluster.setup failed"),
    ],
)
def test_a_broken_environment_on_the_node(bench: Bench, keys: dict[str, Any], words: str) -> None:
    done = bench.hpc("check", "--config", configure(bench, **keys), "--node", "--json")
    assert done.returncode == 1
    assert words in errors(findings(done))["node"]
    assert nothing_is_left(bench)


def test_a_run_root_that_the_node_does_not_see(bench: Bench) -> None:
    """The check has a file system of its own at the run root, which Slurm's nodes lack."""
    root = bench.folder / "runs"
    root.mkdir()
    words = [sys.executable, "-m", "hpc.check", "--config", str(configure(bench)), "--node"]
    script = f'mount -t tmpfs none {root} && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *words, "--json"],
        cwd=bench.folder,
        env=bench.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done
    assert "does not see" in errors(findings(done))["node"]
    assert nothing_is_left(bench)
    assert list(root.iterdir()) == []


def test_a_job_that_does_not_start_in_time_is_canceled_with_slurms_reason(bench: Bench) -> None:
    first, *others = bench.cluster.node_names
    config = configure(bench, exclude=",".join(others))
    bench.cluster.run("scontrol", "update", f"NodeName={first}", "State=DRAIN", "Reason=test")
    try:
        done = bench.hpc("check", "--config", config, "--node", "--patience", 3, "--json")
    finally:
        bench.cluster.run("scontrol", "update", f"NodeName={first}", "State=RESUME")
    assert done.returncode == 1
    assert "did not start" in errors(findings(done))["node"]
    wait_for(lambda: nothing_is_left(bench), 30, "the job is canceled")


def test_ctrl_c_cancels_the_job(bench: Bench) -> None:
    config = configure(bench, setup=["sleep 50"])
    log = bench.folder / "log"
    with bench.started("check", "--config", config, "--node", log=log) as check:
        wait_for(lambda: "RUNNING" in log.read_text(), 60, "the job runs")
        check.send_signal(signal.SIGINT)
        assert check.wait(60) == 130
    wait_for(lambda: nothing_is_left(bench), 30, "the job is canceled")
