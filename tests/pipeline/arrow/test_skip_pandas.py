"""PyArrow works without pandas, until somebody else wants both."""

import subprocess
import sys

import pytest

pytest.importorskip("pandas")


def printed(code: str) -> str:
    """Return what a new process prints: what a process has imported stays imported."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


SKIP = "import sys; import pyarrow as pa; from pipeline.arrow.skip_pandas import skip_pandas; "


def test_arrays_are_made_without_importing_pandas() -> None:
    used = "pa.array([1]); pa.Table.from_pylist([{'a': 1}]); print('pandas' in sys.modules)"
    assert printed(f"{SKIP}{used}") == "True\n"
    assert printed(f"{SKIP}skip_pandas(); {used}") == "False\n"


def test_only_a_classifier_of_another_package_may_use_pandas() -> None:
    used = "pa.array([1]); print('pandas' in sys.modules)"
    skip = "from pipeline.classifiers.registry import skip_unused_pandas as skip; "
    assert printed(f"{SKIP}{skip}skip(['llm', 'valence']); {used}") == "False\n"
    assert printed(f"{SKIP}{skip}skip(['llm', 'of_another_package']); {used}") == "True\n"


def test_pandas_and_pyarrow_work_together_afterward() -> None:
    code = (
        f"{SKIP}skip_pandas(); import pandas as pd; "
        "frame = pa.table({'a': [1, None]}).to_pandas(); "
        "table = pa.Table.from_pandas(frame); "
        "print(table.column('a').to_pylist(), pa.array(frame['a']).to_pylist())"
    )
    assert printed(code) == "[1.0, None] [1.0, None]\n"


def test_pandas_that_is_imported_already_stays_known_to_pyarrow() -> None:
    code = (
        f"{SKIP}import pandas as pd; skip_pandas(); "
        "print(pa.array(pd.Series([1.0, None])).to_pylist())"
    )
    assert printed(code) == "[1.0, None]\n"


def test_a_verb_imports_no_pandas_unless_it_runs_a_classifier() -> None:
    verb = (
        "import pyarrow as pa; from hpc.command_line import cli; "
        "from hpc.command_line.verb import Verb; "
        "act = lambda options, printer: (0, {'pandas': bool(pa.array([1])) and "
        "'pandas' in __import__('sys').modules}); "
        "cli.main(Verb(name='ls', example='', arguments=lambda parser: None, act=act, "
        "if_interrupted='', classifies=%s), ['--json'])"
    )
    assert printed(verb % False) == '{"pandas": false}\n'
    assert printed(verb % True) == '{"pandas": true}\n'
