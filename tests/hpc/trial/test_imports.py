"""What `check` and `try` import, in a process of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hpc.cli_bench import Bench

pytest.importorskip("pandas")

CODE = """
import sys
from hpc import api
path = sys.argv[1]
found = api.check(path, ask_service=False)
assert not found.errors, found.errors
api.try_posts(path, settings=api.TrySettings(posts=1))
print("pandas" in sys.modules)
"""


def test_a_shipped_classifier_is_checked_and_tried_without_pandas(
    bench: Bench, tmp_path: Path
) -> None:
    bench.config(posts=3, classifier={"type": "valence"})
    assert bench.submit().returncode == 0  # so that there is a table of labels to compare with
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(bench.path)],
        capture_output=True, text=True, cwd=bench.folder, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
