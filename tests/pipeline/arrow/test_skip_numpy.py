"""PyArrow works without NumPy, and others still get theirs."""

import importlib
import pathlib
import subprocess
import sys

import pytest

from hpc.command_line.cli import VERBS, WITHOUT_NUMPY

pytest.importorskip("numpy")


def printed(code: str) -> str:
    """Return what a new process prints: what a process has imported stays imported."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


SKIP = "import sys; from pipeline.arrow.skip_numpy import import_without_numpy as skip; "


def test_tables_are_written_read_and_queried_without_numpy() -> None:
    code = (
        f"{SKIP}skip(); print({{'numpy', 'pyarrow'}} & set(sys.modules)); "
        "import io, duckdb, pyarrow as pa, pyarrow.parquet as pq; "
        "file = io.BytesIO(); pq.write_table(pa.table({'a': [1, None]}), file); "
        "again = pq.read_table(pa.BufferReader(file.getvalue())); "
        "rows = duckdb.connect().execute('SELECT sum(a) FROM again').fetchall(); "
        "print(again.to_pylist(), rows); "
        "import numpy; print(numpy.arange(2).sum())"
    )
    assert printed(code) == "{'pyarrow'}\n[{'a': 1}, {'a': None}] [(1,)]\n1\n"


def test_numpy_that_is_imported_already_stays_known_to_pyarrow() -> None:
    code = (
        f"{SKIP}import numpy as np; skip(); import pyarrow as pa; print(pa.array(np.arange(2))[1])"
    )
    assert printed(code) == "1\n"


def test_only_verbs_that_run_no_classifier_do_without_numpy() -> None:
    assert set(VERBS) > WITHOUT_NUMPY
    verbs = [importlib.import_module(f"hpc.{name}").VERB for name in WITHOUT_NUMPY]
    assert not any(verb.classifies for verb in verbs)


@pytest.mark.parametrize(
    ("metadata", "imports_numpy"),
    [
        (["pyarrow-18.0.0.dist-info"], False),
        (["pyarrow-21.0.0-py3.12.egg-info", "pyarrow_hotfix-0.6.dist-info"], False),
        (["pyarrow-17.0.0.dist-info"], True),
        (["pyarrow-17.0.0.dist-info", "pyarrow-22.0.0.dist-info"], True),
        ([], True),
    ],
    ids=["new enough", "an egg", "too old", "two versions", "unknown"],
)
def test_only_a_pyarrow_that_is_known_to_do_without_is_imported_without(
    tmp_path: pathlib.Path, metadata: list[str], imports_numpy: bool
) -> None:
    package = tmp_path / "pyarrow"
    package.mkdir()
    (package / "__init__.py").write_text("try:\n    import numpy\nexcept ImportError:\n    pass\n")
    for name in metadata:
        (tmp_path / name).mkdir()
    code = (
        f"{SKIP}sys.path.insert(0, {str(tmp_path)!r}); skip(); import pyarrow; "
        "print('numpy' in sys.modules)"
    )
    assert printed(code) == f"{imports_numpy}\n"


@pytest.mark.parametrize("lean", [True, False])
def test_compute_functions_come_with_numpy_only_if_pyarrow_did(lean: bool) -> None:
    code = (
        f"{SKIP}{'skip(); ' if lean else ''}import pyarrow; "
        "from pipeline.late_imports import arrow_compute as pc; "
        "print(pc.is_null.__name__, 'numpy' in sys.modules); import numpy; print(numpy.pi)"
    )
    assert printed(code) == f"is_null {not lean}\n3.141592653589793\n"
