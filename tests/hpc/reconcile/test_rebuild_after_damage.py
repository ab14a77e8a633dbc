"""A rebuild needs no usable database, loses nothing of a usable one, and goes past what it cannot
read."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from hpc.database import gather_outputs, replace_database
from hpc.database.gather_outputs import Gathered
from hpc.display.gathered import describe_left_out
from hpc.executors.local.executor import LocalExecutor
from hpc.reconcile.gathering.rebuild import rebuild
from hpc.reconcile.look import look
from hpc.run.model.run import Run
from pipeline.errors import InputError, RunError, UnreadableError
from pipeline.run_files.manifest import output_path
from tests.hpc.cli_bench import valence_run
from tests.hpc.database.test_gather_outputs import damage
from tests.pipeline.exhaustion import exhausted_descriptors
from tests.pipeline.run_builders import publish_shard

OTHER = "20240602T120000-valence-89abcdef"
COMMIT_AND_DIE = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("CREATE TABLE IF NOT EXISTS later (day DATE)")
os._exit(0)
"""

HOLD = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"
# Succeeds if no process has the database open.
LOCK = """
import fcntl, sys
with open(sys.argv[1], "r+b") as stream:
    fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of two published shards, gathered."""
    made = valence_run(tmp_path, 7)
    for index in (0, 1):
        publish_shard(made.folder, made.manifest, index)
    gather(made)
    return made


def gather(run: Run) -> Gathered:
    now = look(run, LocalExecutor(), include_done=True)
    return gather_outputs.gather(run, now.observation, now.judgements)


def database(run: Run) -> Path:
    return Path(run.manifest.database)


def labels(path: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute("FROM labels_valence ORDER BY uri").fetchall()


def replaced(run: Run) -> dict[str, bytes]:
    """Return what was kept of the old database, by the end of its name."""
    kept = database(run).parent.glob("labels.duckdb.replaced-*")
    return {path.name.partition("T")[2][6:]: path.read_bytes() for path in kept}


def garbage(path: Path) -> None:
    path.write_text("dear diary\n" * 1000)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[12288::97] = bytes(byte ^ 0xFF for byte in content[12288::97])
    path.write_bytes(content)


def with_the_log_of_another_day(path: Path) -> None:
    """A gather was killed, and then yesterday's file was put back."""
    other = path.with_name("other.duckdb")
    subprocess.run([sys.executable, "-c", COMMIT_AND_DIE, str(other)], check=True)
    other.with_name("other.duckdb.wal").rename(path.with_name(f"{path.name}.wal"))


def only_a_log(path: Path) -> None:
    with_the_log_of_another_day(path)
    path.unlink()


HARMS = (garbage, empty, cut, flipped, with_the_log_of_another_day, only_a_log)


@pytest.mark.parametrize("harm", HARMS)
def test_a_database_that_cannot_be_opened_is_made_again_and_its_files_are_kept(
    run: Run, harm: Callable[[Path], None]
) -> None:
    before = labels(database(run))
    harm(database(run))
    log = database(run).with_name("labels.duckdb.wal")
    files = {"": database(run), ".wal": log}
    old = {end: path.read_bytes() for end, path in files.items() if path.exists()}
    with pytest.raises(RunError, match="hpc gather --rebuild"):
        gather(run)
    said: list[str] = []
    gathered = rebuild(run, said.append)
    assert (gathered.rows_after, gathered.rejected, gathered.unreadable) == (7, (), ())
    assert labels(database(run)) == before
    assert not log.exists()
    assert replaced(run) == old
    assert any("replaced-" in line for line in said)
    assert gather(run).rows_added == 0


def test_a_database_that_cannot_be_read_now_is_not_replaced(run: Run) -> None:
    before = database(run).read_bytes()
    with exhausted_descriptors(), pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        replace_database.read_old(database(run))
    assert database(run).read_bytes() == before


def test_a_run_that_cannot_be_read_does_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    other = valence_run(tmp_path, 3, shards=1, run_id=OTHER)
    for name, content in (("x", "{"), ("y", None)):
        folder = run.folder.with_name(f"20240101T120000-valence-{name}")
        (folder / "shards").mkdir(parents=True)
        if content:
            (folder / "manifest.json").write_text(content)
    before = labels(database(run))
    garbage(database(run))
    gathered = rebuild(other, lambda _: None)
    assert labels(database(run)) == before
    assert [line.split(" is left out")[0] for line in gathered.unreadable] == [
        "run 20240101T120000-valence-y",
        "run 20240101T120000-valence-x",
    ]


def test_a_run_that_cannot_be_read_keeps_its_labels(run: Run, tmp_path: Path) -> None:
    other = valence_run(tmp_path, 3, shards=1, run_id=OTHER)
    before = labels(database(run))
    (run.folder / "manifest.json").write_text("{")
    with pytest.raises(RunError, match=run.run_id):
        rebuild(other, lambda _: None)
    assert labels(database(run)) == before
    with pytest.raises(InputError):
        rebuild(run, lambda _: None)


def make_unreadable(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("/not/mounted")


@pytest.mark.parametrize("harm", [damage, make_unreadable, Path.unlink])
def test_labels_whose_output_is_lost_stay_in_a_usable_database(
    run: Run, harm: Callable[[Path], None]
) -> None:
    before = labels(database(run))
    harm(output_path(run.folder, 1))
    files = sorted((run.folder / "outputs").iterdir())
    with pytest.raises(RunError, match="1 shard"):
        rebuild(run, lambda _: None)
    assert labels(database(run)) == before
    assert sorted((run.folder / "outputs").iterdir()) == files
    assert [path.name for path in database(run).parent.glob("labels*")] == ["labels.duckdb"]


def test_without_the_database_a_damaged_output_is_set_aside_and_the_rest_is_gathered(
    run: Run,
) -> None:
    garbage(database(run))
    damage(output_path(run.folder, 1))
    gathered = rebuild(run, lambda _: None)
    assert (gathered.rows_after, gathered.set_aside, len(gathered.rejected)) == (4, 1, 1)


def test_rebuilds_in_one_second_keep_every_old_file(run: Run) -> None:
    for content in (b"one", b"two", b"three"):
        database(run).write_bytes(content)
        rebuild(run, lambda _: None)
    kept = database(run).parent.glob("labels.duckdb.replaced-*")
    assert sorted(path.read_bytes() for path in kept) == [b"one", b"three", b"two"]


def test_what_a_killed_rebuild_left_is_removed_unless_a_process_has_it_open(run: Run) -> None:
    """The files beside it that only have similar names stay."""
    left, held, mine = (
        database(run).with_name(f"labels.duckdb.rebuilding-{end}")
        for end in ("0123abcd", "4567abcd", "notes")
    )
    for path in (left, left.with_name(f"{left.name}.wal"), held, mine):
        garbage(path)
    held.unlink()
    command = [sys.executable, "-c", HOLD, str(held)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        rebuild(run, lambda _: None)
        assert sorted(database(run).parent.glob("*rebuilding*")) == [held, mine]
        holder.kill()
    rebuild(run, lambda _: None)
    assert sorted(database(run).parent.glob("*rebuilding*")) == [mine]


def test_no_other_process_can_open_a_rebuild_that_is_under_way(run: Run) -> None:
    """So that another rebuild does not take it for what a killed one left."""
    tried: list[int] = []

    def say(_: str) -> None:
        for fresh in database(run).parent.glob("*.rebuilding-????????"):
            tried.append(subprocess.run([sys.executable, "-c", LOCK, str(fresh)]).returncode)

    rebuild(run, say)
    assert tried
    assert 0 not in tried


def test_a_database_of_another_program_is_not_replaced(run: Run) -> None:
    database(run).unlink()
    with duckdb.connect(database(run)) as connection:
        connection.execute("CREATE TABLE diary (day DATE)")
    with pytest.raises(RunError, match=re.escape(str(database(run)))):
        rebuild(run, lambda _: None)
    assert replaced(run) == {}


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_in_place_of_the_database_is_left_alone(
    run: Run, make: Callable[[Path], None]
) -> None:
    """The advice works: who moves it away can make the database again."""
    before = labels(database(run))
    database(run).unlink()
    make(database(run))
    with pytest.raises(RunError, match="move it away"):
        rebuild(run, lambda _: None)
    database(run).rename(database(run).with_name("aside"))
    rebuild(run, lambda _: None)
    assert labels(database(run)) == before


def test_a_database_on_another_disk_is_replaced_there_or_not_at_all(
    run: Run, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    before = labels(database(run))
    database(run).rename(disk / "labels.duckdb")
    database(run).symlink_to(disk / "labels.duckdb")
    rebuild(run, lambda _: None)
    assert database(run).is_symlink()
    assert labels(database(run)) == before
    assert len([*disk.glob("labels.duckdb.replaced-*")]) == 1
    disk.rename(tmp_path / "elsewhere")
    for act in (lambda: rebuild(run, lambda _: None), lambda: gather(run)):
        with pytest.raises(UnreadableError):
            act()
    assert not disk.exists()


def test_thousands_of_unreadable_files_do_not_fill_the_screen(run: Run) -> None:
    lines = tuple(f"file {number}" for number in range(1000))
    gathered = replace(gather(run), rejected=lines, unreadable=lines[:3])
    shown = describe_left_out(gathered)
    assert shown[:3] + shown[4:] == [*lines[:3], *lines[:3]]
    assert "997 more files" in shown[3]
