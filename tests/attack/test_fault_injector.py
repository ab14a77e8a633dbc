"""The injector fails exactly the calls that it is asked to fail, in every library that we use."""

import errno
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.attack.faults import Faults, InjectedFault
from tests.waiting import PATIENCE_S

# Each prints the errno, or "fine".
REPORTING = """
import os, sys, pathlib
path = pathlib.Path(sys.argv[1])
try:
    {}
except OSError as error:
    print(error.errno)
else:
    print("fine")
"""


def run(code: str, *arguments: object, env: Mapping[str, str]) -> str:
    """Return what a Python process printed, on both streams."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    ).stdout.strip()


@pytest.mark.parametrize(
    ("operation", "statement"),
    [
        ("open", "path.open()"),
        ("open", "os.open(path.name, os.O_RDONLY, dir_fd=os.open(path.parent, os.O_RDONLY))"),
        ("open", "os.chdir(path.parent); open(path.name)"),
        ("read", "path.read_text()"),
        ("read", "os.pread(os.open(path, os.O_RDONLY), 1, 0)"),
        ("read", "os.readv(os.open(path, os.O_RDONLY), [bytearray(1)])"),
        ("write", "os.write(os.open(path, os.O_WRONLY), b'x')"),
        ("write", "os.pwrite(os.open(path, os.O_WRONLY), b'x', 0)"),
        ("write", "os.writev(os.open(path, os.O_WRONLY), [b'x'])"),
        ("write", "os.truncate(os.open(path, os.O_WRONLY), 0)"),
        ("write", "__import__('shutil').copyfile(path.with_name('other'), path)"),
        ("read", "__import__('shutil').copyfile(path, path.with_name('copy'))"),
        ("close", "os.close(os.open(path, os.O_RDONLY))"),
        ("sync", "os.fsync(os.open(path, os.O_RDONLY))"),
        ("sync", "os.fdatasync(os.open(path, os.O_RDONLY))"),
        ("lock", "__import__('fcntl').flock(os.open(path, os.O_RDONLY), 2)"),
        ("map", "__import__('mmap').mmap(os.open(path, os.O_RDWR), 0)"),
        ("rename", "path.rename(path.with_name('new'))"),
        ("rename", "path.with_name('other').replace(path)"),
        ("link", "os.link(path, path.with_name('new'))"),
        ("unlink", "path.unlink()"),
        ("unlink", "__import__('shutil').rmtree(path.parent)"),
        ("stat", "path.stat()"),
        ("stat", "path.lstat()"),
        ("stat", "os.fstat(os.open(path, os.O_RDONLY))"),
        ("stat", "os.stat(path.name, dir_fd=os.open(path.parent, os.O_RDONLY))"),
        ("mkdir", "path.mkdir()"),
        ("list", "list(os.scandir(path))"),
        ("list", "os.listdir(path)"),
        ("list", "os.listdir(os.open(path, os.O_RDONLY))"),
    ],
)  # fmt: skip
def test_a_call_fails_with_the_chosen_error_and_only_at_the_chosen_path(
    faults: Faults, tmp_path: Path, operation: str, statement: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "other").write_text("other")
    path = folder / "file"
    if operation == "list":
        path.mkdir()
    elif operation != "mkdir":
        path.write_text("text")
    code = REPORTING.format(statement)
    fault = faults.fail(operation, str(path), errno.EIO)
    assert run(code, path, env=faults.environment()) == str(errno.EIO)
    assert [(one.operation, one.error, one.path) for one in faults.injected()] == [
        (operation, errno.EIO, str(path))
    ] * fault.injected
    assert fault.injected >= 1

    faults.clear()
    faults.fail(operation, f"{path}?", errno.EIO)
    assert run(code, path, env=faults.environment()) == "fine"
    assert faults.injected() == []


def test_the_end_of_a_folder_is_not_an_error(faults: Faults, tmp_path: Path) -> None:
    faults.fail("list", "/elsewhere", errno.ESTALE)
    assert run("import os; print(len(os.listdir('/')) > 1)", env=faults.environment()) == "True"


def test_so_many_calls_succeed_and_so_many_fail(faults: Faults, tmp_path: Path) -> None:
    code = """
import errno, pathlib, sys
for at in range(5):
    try:
        pathlib.Path(sys.argv[1]).open()
        print("fine", end=" ")
    except OSError as error:
        print(errno.errorcode[error.errno], end=" ")
"""
    (tmp_path / "file").touch()
    fault = faults.fail("open", "*/file", errno.EMFILE, skip=1, times=2)
    said = run(code, tmp_path / "file", env=faults.environment())
    assert said == "fine EMFILE EMFILE fine fine"
    assert (fault.matched, fault.injected) == (5, 2)


def test_processes_share_what_is_counted(faults: Faults, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    faults.fail("open", "*/file", errno.ESTALE, times=1)
    code = REPORTING.format("path.open()")
    said = [run(code, tmp_path / "file", env=faults.environment()) for _ in range(2)]
    assert said == [str(errno.ESTALE), "fine"]


def test_a_rule_may_be_about_one_kind_of_process(faults: Faults, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    faults.fail("open", "*/file", errno.EACCES, process="* worker")
    code = REPORTING.format("path.open()")
    assert run(code, tmp_path / "file", env=faults.environment()) == "fine"
    assert run(code, tmp_path / "file", "worker", env=faults.environment()) == str(errno.EACCES)


def test_a_fault_begins_and_ends_while_a_process_runs_also_on_open_files(
    faults: Faults, tmp_path: Path
) -> None:
    code = """
import os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
for line in sys.stdin:
    try:
        os.pread(file, 1, 0)
        print("fine", flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""
    path = tmp_path / "file"
    path.write_text("text")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, **faults.environment()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout

    def ask() -> str:
        assert process.stdin and process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    assert ask() == "fine"
    fault = faults.fail("read", str(path), errno.ESTALE)
    assert ask() == str(errno.ESTALE)
    fault.stop()
    assert ask() == "fine"
    path.unlink()  # its descriptor still has its name
    faults.fail("read", str(path), errno.EIO)
    assert ask() == str(errno.EIO)
    process.communicate(timeout=PATIENCE_S)
    assert faults.injected() == [
        InjectedFault(process.pid, "read", errno.ESTALE, str(path)),
        InjectedFault(process.pid, "read", errno.EIO, str(path)),
    ]


@pytest.mark.parametrize(
    ("code", "operations"),
    [
        pytest.param(
            "import pyarrow.parquet as pq\npq.read_table(sys.argv[1], partitioning=None)",
            ("open", "read"),
            id="pyarrow reads",
        ),
        pytest.param(
            "import pyarrow.parquet as pq\npq.ParquetFile(sys.argv[1]).metadata",
            ("open", "read"),
            id="pyarrow reads a footer",
        ),
        pytest.param(
            "import pyarrow as pa, pyarrow.parquet as pq\n"
            "pq.write_table(pa.table({'a': [1]}), sys.argv[1])",
            ("open", "write"),
            id="pyarrow writes",
        ),
        pytest.param(
            "import duckdb\nduckdb.sql(f\"SELECT sum(number) FROM '{sys.argv[1]}'\").fetchall()",
            ("open", "read"),
            id="duckdb reads Parquet",
        ),
        pytest.param(
            "import duckdb\nduckdb.sql(f\"COPY (SELECT 1) TO '{sys.argv[1]}'\")",
            ("open", "write"),
            id="duckdb writes Parquet",
        ),
        pytest.param(
            "import duckdb\n"
            "with duckdb.connect(sys.argv[1] + '.duckdb') as database:\n"
            "    database.execute('CREATE OR REPLACE TABLE t AS SELECT 1; CHECKPOINT')",
            ("open", "write", "sync"),
            id="duckdb's own file",
        ),
        pytest.param(
            "import sqlite3\n"
            "with sqlite3.connect(sys.argv[1] + '.sqlite') as database:\n"
            "    database.execute('CREATE TABLE IF NOT EXISTS t (a)')",
            ("open", "write"),
            id="sqlite",
        ),
    ],
)
def test_libraries_that_call_the_system_by_themselves_fail_too(
    faults: Faults, tmp_path: Path, code: str, operations: tuple[str, ...]
) -> None:
    path = tmp_path / "numbers.parquet"
    pq.write_table(pa.table({"number": range(1000)}), path)
    code = f"import sys\n{code}\nprint('fine')"
    assert run(code, path, env=faults.environment()) == "fine"
    for operation in operations:
        fault = faults.fail(operation, f"{tmp_path}/*numbers.parquet*", errno.EIO)
        said = run(code, path, env=faults.environment())
        assert (fault.injected > 0, said.endswith("fine")) == (True, False), (operation, said)
        fault.stop()
        for file in tmp_path.glob("*numbers.parquet*"):  # a torn one
            file.unlink()
        pq.write_table(pa.table({"number": range(1000)}), path)
