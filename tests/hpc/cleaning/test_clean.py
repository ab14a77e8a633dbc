"""`hpc clean`: a run becomes one archive, and nothing that reads the run notices."""

import contextlib
import errno
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import duckdb
import pytest

from hpc.cleaning.archive_run import archive_run
from hpc.executors.factory import executor_of
from hpc.locks import run_lock
from hpc.planning import waiting_posts
from hpc.run import run_folder
from pipeline import files
from pipeline.run_files import output
from tests.hpc.cli_bench import Bench, once
from tests.hpc.snapshot import Snapshot

POSTS = 12
TABLES = {
    "labels_test": "FROM labels_test ORDER BY uri",
    "runs": "FROM runs ORDER BY run_id",
    "shards": "SELECT * EXCLUDE (gathered_at) FROM shards ORDER BY run_id, shard_index",
    "attempts": "FROM attempts ORDER BY run_id, shard_index, attempt",
    "watermarks": "FROM watermarks",
}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    bench = Bench(tmp_path_factory.mktemp("complete"))
    bench.config(posts=POSTS, sharding={"shards": 3}, cluster={"grace_seconds": 0})
    assert bench.submit().returncode == 0
    assert bench.hpc("gather").returncode == 0
    return Snapshot(bench)


@pytest.fixture
def complete(snapshot: Snapshot) -> Bench:
    """A run of three shards that is complete and gathered."""
    return snapshot.restore()


def run_dir(bench: Bench) -> Path:
    (folder,) = bench.runs()
    return folder


def names(folder: Path) -> list[str]:
    """Return what lies in a run's folder; its lock and its caches do not count."""
    found = (path.name for path in folder.iterdir())
    return sorted(name for name in found if name != ".lock" and not name.startswith(".seen-"))


def contents(bench: Bench) -> dict[str, list[tuple[Any, ...]]]:
    return {name: bench.query(sql) for name, sql in TABLES.items()}


def status(bench: Bench) -> dict[str, Any]:
    document = bench.document("status")
    del document["observed_at"]
    is_archived = (run_dir(bench) / "archive.zip").exists()
    assert document.pop("archived") == is_archived
    return document


def reports(bench: Bench) -> list[Any]:
    """Return what the verbs that read a run say about it."""
    return [
        status(bench),
        bench.document("audit", "--config", bench.path),
        bench.document("logs", "0"),
        bench.document("export", "test", "--to", "labels.csv", "--force"),
        (bench.folder / "labels.csv").read_text(),
    ]


def test_without_yes_nothing_changes_and_what_would_go_is_shown(complete: Bench) -> None:
    before = complete.listing()
    document = complete.document("clean")
    (run,) = document["runs"]
    assert (document["done"], run["decision"]) == (False, "archive")
    assert document["inodes_to_go"] == run["inodes"] - 3 > 10
    assert [name for name in complete.listing() if ".seen-" not in name] == [
        name for name in before if ".seen-" not in name
    ]


def test_an_archived_run_reads_like_its_folder(complete: Bench) -> None:
    before, said = contents(complete), reports(complete)
    assert complete.hpc("clean", "--yes").returncode == 0
    folder = run_dir(complete)
    assert names(folder) == ["archive.zip", "manifest.json"]
    assert reports(complete) == said
    (complete.folder / "labels.duckdb").unlink()
    assert complete.document("gather", "--rebuild")["rows_after"] == POSTS
    assert contents(complete) == before
    assert reports(complete) == said
    assert complete.document("clean")["runs"] == []


@pytest.mark.parametrize("has_database", [True, False])
def test_posts_of_an_archived_run_are_not_submitted_again(
    complete: Bench, *, has_database: bool
) -> None:
    complete.hpc("clean", "--yes")
    if not has_database:
        (complete.folder / "labels.duckdb").unlink()
    for verb, *arguments in (
        ("submit", "--config", complete.path, "--backfill"),
        ("supervise",),
        ("gather",),
        ("submit", "--config", complete.path),
    ):
        assert complete.hpc(verb, *arguments).returncode == 0
    assert complete.asked() == once(POSTS)
    assert len(complete.runs()) == 1
    assert len(complete.query("FROM labels_test")) == POSTS
    assert len(complete.query("FROM attempts")) == 3


def test_the_posts_of_an_archived_run_are_known_without_the_database(complete: Bench) -> None:
    complete.hpc("clean", "--yes")
    run = run_folder.load(run_dir(complete))
    with duckdb.connect() as connection:
        uris = waiting_posts.stage(connection, [(run, index) for index in range(3)])
        found = {uri for (uri,) in connection.execute(uris).fetchall()}
    assert found == set(once(POSTS))


def test_a_restored_run_is_what_it_was(complete: Bench) -> None:
    folder = run_dir(complete)
    before = digests(folder)
    complete.hpc("clean", "--yes")
    assert complete.document("clean", "--restore", "test")["restored"][0]["files"] > 10
    after = digests(folder)
    assert {path: after.get(path) for path in before} == before
    assert complete.document("status")["state"] == "complete"


def digests(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


class Killed(BaseException):
    pass


@contextlib.contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[list[str]]:
    """Let the process die at the n-th of its changes to the disk, before it is made."""
    seen: list[str] = []

    def dying(name: str, real: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            seen.append(name)
            if len(seen) > step:  # a process that is killed cleans nothing up
                raise Killed
            return real(*args, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_all", dying("sync_all", files.sync_all))
        patch.setattr(shutil, "rmtree", dying("rmtree", shutil.rmtree))
        for name in ("replace", "rename", "unlink", "rmdir"):
            patch.setattr(Path, name, dying(name, getattr(Path, name)))
        yield seen


def test_a_cleaning_that_is_killed_anywhere_loses_nothing_and_the_next_one_finishes(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = snapshot.restore()
    said, before = reports(bench), contents(bench)
    step = 0
    while True:
        bench = snapshot.restore()
        run = run_folder.load(run_dir(bench))
        with killed_at(monkeypatch, step) as seen, contextlib.suppress(Killed):
            archive_run(run, executor_of(run))
        if len(seen) <= step:
            break
        assert status(bench) == said[0], (step, seen)
        assert all(output.read(run.folder, run.manifest, index)[1] for index in range(3))
        assert bench.hpc("clean", "--yes").returncode == 0, (step, seen)
        assert names(run.folder) == ["archive.zip", "manifest.json"], (step, seen)
        step += 1
    assert step > 5
    assert reports(bench) == said
    (bench.folder / "labels.duckdb").unlink()
    bench.document("gather", "--rebuild")
    assert contents(bench) == before


def test_what_is_not_complete_or_not_gathered_or_in_use_stays(complete: Bench) -> None:
    folder = run_dir(complete)
    run = run_folder.load(folder)
    with run_lock.lock_run(run):
        assert complete.document("clean", "--yes")["runs"][0]["decision"] == "keep"
    (complete.folder / "labels.duckdb").rename(complete.folder / "elsewhere")
    assert complete.document("clean", "--yes")["runs"][0]["decision"] == "keep"
    assert complete.document("clean", "test", "--yes", code=1)["runs"][0]["decision"] == "keep"
    (complete.folder / "elsewhere").rename(complete.folder / "labels.duckdb")
    (folder / "outputs" / "00001.parquet").unlink()
    assert complete.document("clean", "--yes")["runs"][0]["decision"] == "keep"
    assert "archive.zip" not in names(folder)


def test_another_users_run_stays(complete: Bench) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(run_dir(complete), 65534, 65534)
    assert complete.document("clean", "--yes")["runs"][0]["decision"] == "keep"


def test_a_link_in_the_folder_is_not_archived(complete: Bench) -> None:
    (run_dir(complete) / "outputs" / "note").symlink_to("/etc/hostname")
    assert complete.document("clean", "--yes")["runs"][0]["decision"] == "keep"


def test_an_output_that_changed_since_it_was_gathered_is_not_archived(complete: Bench) -> None:
    """Its footer is whole, so only the digest of its bytes shows it."""
    output = run_dir(complete) / "outputs" / "00001.parquet"
    content = bytearray(output.read_bytes())
    content[8] ^= 1
    output.write_bytes(content)
    document = complete.document("clean", "--yes", code=1)
    assert str(output) in document["runs"][0]["reason"]
    assert "archive.zip" not in names(run_dir(complete))


def test_a_file_that_came_after_the_archive_stays(complete: Bench) -> None:
    folder = run_dir(complete)
    complete.hpc("clean", "--yes")
    (folder / "outputs").mkdir()
    (folder / "outputs" / "mine.txt").write_text("a note")
    assert complete.hpc("clean", "--yes").returncode == 1
    assert (folder / "outputs" / "mine.txt").read_text() == "a note"


def test_a_damaged_archive_is_an_error_and_no_run_without_labels(complete: Bench) -> None:
    folder = run_dir(complete)
    complete.hpc("clean", "--yes")
    (folder / "archive.zip").write_bytes(b"PK")
    for verb in ("status", "supervise", "gather"):
        assert complete.hpc(verb).returncode == 1
    assert complete.submit().returncode == 1
    assert complete.asked() == once(POSTS)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "torn": lambda path: path.write_bytes(b"PK"),
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to("gone"),
}


@pytest.mark.parametrize("file", ["labels.duckdb", "manifest.json"])
def test_clean_fails_where_it_cannot_read_a_run(complete: Bench, file: str) -> None:
    folder = run_dir(complete)
    path = folder.parent.parent / file if file == "labels.duckdb" else folder / file
    path.rename(path.with_name("kept"))
    path.symlink_to(folder / "gone" / file)  # such as a disk that is not mounted
    done = complete.hpc("clean", "--yes")
    assert (done.returncode, "archive.zip" in names(folder)) == (1, False), (
        done.stdout + done.stderr
    )
    assert str(path) in done.stdout + done.stderr


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_archive_is_named_and_the_audit_goes_on(complete: Bench, damage: str) -> None:
    complete.hpc("clean", "--yes")
    archive = run_dir(complete) / "archive.zip"
    archive.unlink()
    DAMAGE[damage](archive)
    for words in (("status",), ("clean",), ("clean", "--restore", "test"), ("report", "test")):
        done = complete.hpc(*words)
        assert (done.returncode, str(archive) in done.stdout + done.stderr) == (1, True), words
    audited = complete.hpc("audit", "--config", complete.path)
    assert audited.returncode == 1
    assert f"{archive} is damaged" in audited.stdout


def test_an_archive_that_cannot_be_read_now_is_not_called_damaged(
    complete: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """zipfile hides the error of the system behind one of its own, with advice to restore."""
    complete.hpc("clean", "--yes")

    def read_end(stream: object) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(zipfile, "_EndRecData", read_end)
    path = run_dir(complete) / "archive.zip"
    os.utime(path, (0, 0))  # its directory is read again
    done = complete.hpc("clean", "--restore", "test")
    assert (done.returncode, done.stderr) == (1, f"error: {path}: {os.strerror(errno.EIO)}\n")


def test_a_shard_of_an_archived_run_is_not_resubmitted(complete: Bench) -> None:
    complete.hpc("clean", "--yes")
    assert complete.hpc("resubmit", "--indices", "0").returncode == 2
    assert complete.hpc("resubmit", "--force").returncode == 0
    assert complete.asked() == once(POSTS)


def test_an_archive_is_a_zip_file_with_every_file_as_it_was(complete: Bench) -> None:
    folder = run_dir(complete)
    before = digests(folder)
    complete.hpc("clean", "--yes")
    with zipfile.ZipFile(folder / "archive.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert {path: members.get(path) for path in before} == before


def test_older_than_leaves_newer_runs_alone(complete: Bench) -> None:
    for days in ("1", "99999999999"):
        assert complete.document("clean", "--older-than", days)["runs"] == []
    assert len(complete.document("clean", "--older-than", "0.0000001")["runs"]) == 1


def test_a_run_that_is_not_archived_cannot_be_unpacked(complete: Bench) -> None:
    run = run_folder.load(run_dir(complete))
    assert complete.hpc("clean", "--restore", run.run_id).returncode == 1
    assert complete.hpc("clean", "--restore").returncode == 2


def test_what_somebody_unpacked_by_hand_hides_nothing_of_the_archive(complete: Bench) -> None:
    """One output in its folder is no sign that the others are gone."""
    before, said = contents(complete), reports(complete)
    complete.hpc("clean", "--yes")
    folder = run_dir(complete)
    with zipfile.ZipFile(folder / "archive.zip") as archive:
        archive.extract("outputs/00001.parquet", folder)
    (folder / "submissions").mkdir()
    assert reports(complete) == said
    assert complete.hpc("supervise").returncode == 0
    (complete.folder / "labels.duckdb").unlink()
    assert complete.document("gather", "--rebuild")["rows_after"] == POSTS
    assert contents(complete) == before
    assert complete.asked() == once(POSTS)


def test_restore_writes_what_is_missing_in_a_folder_that_is_there(complete: Bench) -> None:
    folder = run_dir(complete)
    before = digests(folder)
    complete.hpc("clean", "--yes")
    for name in ("outputs", "submissions"):
        (folder / name).mkdir()
    (folder / "outputs" / "mine.txt").write_text("a note")
    assert complete.hpc("clean", "--restore", "test").returncode == 0
    after = digests(folder)
    assert {path: after.get(path) for path in before} == before
    assert after["outputs/mine.txt"] == b"a note"


def test_a_file_that_an_archive_holds_no_more_is_not_removed(complete: Bench) -> None:
    """An archive was damaged between a killed cleaning and the next one."""
    folder = run_dir(complete)
    kept = shutil.copytree(folder, complete.folder / "kept")
    complete.hpc("clean", "--yes")
    damaged = bytearray((folder / "archive.zip").read_bytes())
    with zipfile.ZipFile(folder / "archive.zip") as archive:
        damaged[archive.getinfo("outputs/00001.parquet").header_offset + 200] ^= 1
    shutil.copytree(kept / "outputs", folder / "outputs")
    (folder / "archive.zip").write_bytes(damaged)
    assert complete.hpc("clean", "--yes").returncode == 1
    assert digests(folder / "outputs") == digests(kept / "outputs")
    assert complete.hpc("clean", "--restore", "test").returncode == 0
    assert {**digests(folder), **digests(kept)} == digests(folder)


def test_a_name_that_is_no_utf_8_stays_and_is_reported(complete: Bench) -> None:
    (run_dir(complete) / "logs" / os.fsdecode(b"\xff.txt")).write_text("a note")
    (run,) = complete.document("clean", "--yes")["runs"]
    assert (run["decision"], "\\udcff.txt" in run["reason"]) == ("keep", True)


def test_a_folder_that_lies_too_deep_is_neither_archived_nor_unpacked(complete: Bench) -> None:
    """What removes a folder descends by recursion."""
    folder, deep = run_dir(complete), "/".join("d" * 120)
    (folder / deep).mkdir(parents=True)
    assert complete.document("clean", "--yes")["runs"][0]["decision"] == "keep"
    shutil.rmtree(folder / "d")
    assert complete.hpc("clean", "--yes").returncode == 0
    with zipfile.ZipFile(folder / "archive.zip", "a") as archive:
        archive.writestr(f"{'d/' * 1500}file", b"")
    done = complete.hpc("clean", "--restore", "test")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert str(folder / "archive.zip") in done.stderr
    assert not {"d", "outputs"} & set(names(folder))


def test_a_file_of_the_user_with_the_name_of_an_archive_is_none(complete: Bench) -> None:
    said = reports(complete)
    for folder in (complete.folder, complete.folder / "runs"):
        (folder / "archive.zip").write_bytes(b"PK my own")
    assert reports(complete) == said
    assert complete.hpc("clean", "--yes").returncode == 0
    assert reports(complete) == said


def test_a_rebuild_names_an_archived_run_without_its_manifest(complete: Bench) -> None:
    first = run_dir(complete)
    complete.hpc("clean", "--yes")
    (first / "manifest.json").rename(complete.folder / "elsewhere.json")
    second = shutil.copytree(first, first.with_name("20000101T000000-test-00000000"))
    (first / "manifest.json").write_bytes((complete.folder / "elsewhere.json").read_bytes())
    (complete.folder / "labels.duckdb").unlink()
    done = complete.hpc("gather", "--rebuild", first.name)
    assert done.returncode == 1
    assert second.name in done.stdout + done.stderr
