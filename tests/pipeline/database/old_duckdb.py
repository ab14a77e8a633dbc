"""Other releases of DuckDB, each in a folder of its own, to read what this program wrote."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

# Two of each generation of the storage format would add nothing: these are the first and the last
# releases that read only the oldest one.
USUAL = ("1.0.0", "1.1.3")
ALL = (*USUAL, "1.2.2", "1.3.2", "1.4.4", "1.5.6")
VERSIONS = ALL if os.environ.get("OLD_DUCKDB") == "all" else USUAL
_RUN = """
import json, sys, duckdb
path, queries = sys.argv[1], json.loads(sys.argv[2])
with duckdb.connect(path, read_only=True) as connection:
    rows = [connection.execute(query).fetchall() for query in queries]
print(json.dumps([duckdb.__version__, rows], default=str))
"""


class OldDuckDB:
    """A release of DuckDB that was unpacked from its wheel."""

    def __init__(self, version: str, folder: Path) -> None:
        self.version = version
        self.folder = folder

    def query(self, path: Path, *queries: str) -> list[list[list[Any]]]:
        """Return the rows of each query, with times and the like as text."""
        done = subprocess.run(
            [sys.executable, "-c", _RUN, str(path), json.dumps(queries)],
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        version, rows = json.loads(done.stdout)
        assert version == self.version
        return list(rows)


def install(version: str, folder: Path) -> OldDuckDB:
    """Unpack a release. Its absence is a failure in CI, and a skip elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    wheels = folder / "wheels"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "-q", "--no-deps"),
            *("--only-binary", ":all:", "-d", str(wheels), f"duckdb=={version}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no DuckDB {version}: {done.stderr}")
        pytest.skip(f"no DuckDB {version} for this Python: {done.stderr}")
    (wheel,) = wheels.iterdir()
    unpacked = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    return OldDuckDB(version, unpacked)
