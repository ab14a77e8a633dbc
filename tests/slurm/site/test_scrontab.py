"""The entries of the page about cron, installed with scrontab on a real Slurm that has it."""

import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

from tests.docs.pages import ROOT, read
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
from tests.slurm.private_cluster.commands import Bench
from tests.slurm.private_cluster.programs import environment

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        not shutil.which("scrontab", path=environment()["PATH"]),
        reason="this Slurm is packaged without scrontab",
    ),
]


def test_an_entry_supervises_a_run(
    tmp_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (block,) = [b for b in read("docs/how-to/cron.md").blocks if b.language == "scrontab"]
    own = block.text.replace("/projects/p32000/classify", str(tmp_path))
    own = re.sub("--mem=.G", "--mem=1G", own.replace("p32000", "kellogg"))
    every_minute = re.sub(r"^\*/30 ", "* ", own, flags=re.MULTILINE)
    extra = ["ScronParameters=enable"]
    with SlurmCluster(tmp_path_factory.mktemp("slurm"), nodes=1, extra_conf=extra) as cluster:
        bench = Bench(cluster, tmp_path)
        (tmp_path / ".venv").symlink_to(ROOT / ".venv")
        config = bench.config(posts.json_lines(tmp_path / "p.jsonl", 40))
        # An entry has no variable that leads to the scripted classifier.
        values = {**yaml.safe_load(config.read_text()), "classifier": {"type": "valence"}}
        config.write_text(yaml.safe_dump(values))
        bench.document("submit", "--config", config)
        subprocess.run(["scrontab", "-"], env=bench.env, input=every_minute, text=True, check=True)
        log = tmp_path / "supervise.log"
        wait_for(
            lambda: log.exists() and ": complete" in log.read_text(), 150, "a round of the entry"
        )
        # The series goes on, and the nightly entry waits for its time.
        names = cluster.run("squeue", "-h", "-o", "%j").split()
        assert sorted(names) == ["nightly", "supervise"]
