"""The benchmarks run: what nobody runs stops working unnoticed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_login_nodes_benchmark_measures_every_step() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "login_node.py", "--posts", "400",
         "--rows-per-shard", "100", "--rounds", "1"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    for step in ("plan", "status", "gather", "bare COPY", "bare INSERT"):
        assert f"  {step}" in done.stdout
