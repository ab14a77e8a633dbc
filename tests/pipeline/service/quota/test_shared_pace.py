"""Tasks that share a quota by real files in one folder, on terms of milliseconds."""

import contextlib
import functools
import hashlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.llm.classifier import Llm
from pipeline.classifiers.perspective.classifier import Perspective
from pipeline.config.section import Section
from pipeline.errors import Cause, InputError, TaskError
from pipeline.service.quota import shared_pace
from pipeline.service.quota.lease_folder import LeaseFolder
from pipeline.service.quota.leases import LeaseTerms
from pipeline.service.quota.pace import Pace
from pipeline.service.quota.shared_pace import SharedPace, frozen_quota_options, pace_of

KEY = "AIza-distinctive-key-4711"
QUICK = LeaseTerms(refresh=0.03, trust=0.4, delay=0.05, lease=2.0)
STOP = threading.Event()


@pytest.fixture
def folder(tmp_path: Path) -> LeaseFolder:
    return LeaseFolder(tmp_path / "quota", f"key {KEY}")


@contextlib.contextmanager
def task(
    folder: LeaseFolder,
    per_minute: int = 60_000,
    *,
    terms: LeaseTerms = QUICK,
    patience: float = 60.0,
) -> Iterator[SharedPace]:
    pace = SharedPace(folder, per_minute, terms, patience=patience)
    try:
        yield pace
    finally:
        pace.close()


def names(folder: LeaseFolder, kind: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(name for name in folder.names() if name.endswith(kind))
    return []


def until(what: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def share_of(pace: SharedPace) -> int | None:
    return pace._permit and pace._permit.share


def test_a_task_sends_after_it_has_joined_and_gives_its_share_back(folder: LeaseFolder) -> None:
    with task(folder) as one:
        assert one.trouble == ""
        began = time.monotonic()
        assert one.wait(STOP)
        assert time.monotonic() - began >= QUICK.join
        assert share_of(one) == 60_000
        with task(folder) as other:
            assert other.wait(STOP)
            assert share_of(other) == 30_000
            until(lambda: share_of(one) == 30_000)
            assert len(names(folder, ".lease")) == 2
        assert not other.wait(STOP)
        until(lambda: share_of(one) == 60_000)
        assert len(names(folder, ".lease")) == 1
    assert len(names(folder, ".left")) == 2


def test_the_folder_is_its_owners_alone_and_does_not_name_the_key(folder: LeaseFolder) -> None:
    with task(folder) as one:
        assert one.wait(STOP)
        (lease,) = names(folder, ".lease")
    root = folder.path.parent
    assert [path.stat().st_mode & 0o777 for path in (root, folder.path)] == [0o700, 0o700]
    assert folder.path.name == hashlib.sha256(f"quota of key {KEY}".encode()).hexdigest()[:32]
    assert KEY not in lease
    assert lease.endswith(".60000.lease")
    assert f"-{os.getpid()}-" in lease
    assert all(path.stat().st_size == 0 for path in folder.path.iterdir())


def test_people_who_share_a_key_share_a_folder_that_they_made(tmp_path: Path) -> None:
    root = tmp_path / "lab"
    root.mkdir()
    root.chmod(0o2770)
    folder = LeaseFolder(root, "key")
    with task(folder) as one:
        assert one.wait(STOP)
    assert folder.path.stat().st_mode & 0o7777 == 0o2770


def test_the_share_of_a_task_that_died_comes_back(folder: LeaseFolder) -> None:
    with task(folder) as one, task(folder) as dead:
        assert one.wait(STOP) and dead.wait(STOP)
        until(lambda: share_of(one) == 30_000)
        dead._leave = lambda: None  # type: ignore[method-assign]
        dead.close()
        until(lambda: share_of(one) == 60_000)
    assert names(folder, ".left") != []


def test_the_least_quota_of_those_alive_holds(folder: LeaseFolder) -> None:
    with task(folder, 60_000) as one, task(folder, 40_000) as other:
        assert one.wait(STOP) and other.wait(STOP)
        until(lambda: (share_of(one), share_of(other)) == (20_000, 20_000))


def test_a_task_that_cannot_refresh_stops_by_itself(folder: LeaseFolder) -> None:
    """As where the file system hangs: by its own clock, though nothing has told it to."""
    hangs = threading.Event()
    with task(folder) as one:
        assert one.wait(STOP)
        listed = folder.names

        def hang() -> list[str]:
            assert hangs.wait(60)
            return listed()

        folder.names = hang  # type: ignore[method-assign]
        time.sleep(QUICK.trust + 0.2)
        assert one._slots.take(time.monotonic()) > 0
        hangs.set()
        assert one.wait(STOP)


def test_a_pause_holds_for_all_tasks_of_the_key(folder: LeaseFolder) -> None:
    with task(folder) as one, task(folder) as other:
        assert one.wait(STOP) and other.wait(STOP)
        one.pause(3600 - 3590)
        until(lambda: other._slots.take(time.monotonic()) > 5)
        until(lambda: len(names(folder, ".pause")) == 1)
        other.pause(3600 - 3590)
        assert one._slots.take(time.monotonic()) > 5
        with task(folder) as third:
            threading.Thread(target=third.wait, args=[STOP], daemon=True).start()
            until(lambda: share_of(third))
            assert third._slots.take(time.monotonic()) > 5


@pytest.mark.parametrize("name", [f"{10**12}.pause", "x.pause", "²³.pause", f"{'9' * 99}.pause"])
def test_a_pause_of_a_wrong_clock_stops_nobody(folder: LeaseFolder, name: str) -> None:
    with task(folder) as one:
        assert one.wait(STOP)
        (folder.path / name).touch()
        (folder.path / "1000.pause").touch()
        until(lambda: names(folder, "1000.pause") == [])
        assert one.wait(STOP)


def test_when_somebody_clears_the_folder_it_is_joined_anew(folder: LeaseFolder) -> None:
    with task(folder) as one:
        assert one.wait(STOP)
        for path in list(folder.path.iterdir()):
            path.unlink(missing_ok=True)
        until(lambda: names(folder, ".lease") != [])
        assert one.wait(STOP)


def test_what_may_be_a_lease_of_another_version_ends_the_task(folder: LeaseFolder) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "v2.lease").touch()
    with task(folder) as one, pytest.raises(TaskError) as raised:
        one.wait(STOP)
    assert raised.value.cause is Cause.REFUSED
    assert str(raised.value) == (
        f"{folder.path}/v2.lease is no lease that this version can read: remove it if nothing else "
        "uses the key"
    )


def test_without_a_place_for_its_lease_a_task_sends_nothing_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "quota").touch()
    folder = LeaseFolder(tmp_path / "quota", "key")
    with task(folder, patience=0.2) as one, pytest.raises(TaskError) as raised:
        one.wait(STOP)
    assert raised.value.cause is Cause.CRASHED
    assert str(raised.value).startswith(f"{folder.path}: ")
    assert str(raised.value).endswith(": nothing is sent without a lease")


def test_a_full_disk_ends_the_task_once_it_has_lasted(small_disk: Path) -> None:
    folder = LeaseFolder(small_disk, "key")
    folder.path.mkdir()
    # An empty file needs no block there, but one of the file system's inodes.
    used = os.statvfs(small_disk).f_files - os.statvfs(small_disk).f_ffree
    full = f"remount,nr_inodes={used}"
    subprocess.run(["mount", "-o", full, str(small_disk)], check=True)
    with task(folder, patience=0.3) as one:
        with pytest.raises(TaskError, match="No space left on device: nothing is sent without a"):
            one.wait(STOP)
        assert "No space left on device" in one.trouble


def test_waiting_ends_when_the_task_ends(folder: LeaseFolder) -> None:
    stop = threading.Event()
    with task(folder, terms=LeaseTerms()) as one:
        threads = [threading.Thread(target=one.wait, args=[stop]) for _ in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: one.trouble == "waits until others leave it a share of the quota")
        stop.set()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)


def section(tmp_path: Path, values: dict[str, Any]) -> Section:
    return Section(values, path="classifier", source="run.yaml", folders=(tmp_path,))


def test_the_folder_is_frozen_absolute_and_nothing_is_made_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert frozen_quota_options(section(tmp_path, {}), 60) == {
        "requests_per_minute": 60,
        "quota_folder": f"{tmp_path}/.hpc/quota",
    }
    given = section(tmp_path, {"quota_folder": "lab/quota", "requests_per_minute": 6000})
    assert frozen_quota_options(given, 60) == {
        "requests_per_minute": 6000,
        "quota_folder": f"{tmp_path}/lab/quota",
    }
    assert frozen_quota_options(section(tmp_path, {}), None) == {"requests_per_minute": None}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_on_the_login_node(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = section(tmp_path, {"quota_folder": str(tmp_path / "file" / "quota")})
    with pytest.raises(InputError) as refused:
        frozen_quota_options(given, 60)
    assert str(refused.value) == (
        f"run.yaml: classifier.quota_folder: {tmp_path}/file is no folder that you may write to: "
        "name one that all nodes share"
    )


def test_a_quota_is_its_owners(tmp_path: Path) -> None:
    options = {"requests_per_minute": 600, "quota_folder": str(tmp_path)}

    def folder_of(owner: str) -> Path:
        pace = pace_of(options, owner)
        assert isinstance(pace, SharedPace)
        return pace._folder.path

    assert folder_of("a") == folder_of("a") != folder_of("b")
    assert type(pace_of({"requests_per_minute": None}, "a")) is Pace
    assert list(tmp_path.iterdir()) == []


def test_a_run_from_before_there_were_leases_shares_the_quota_as_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its options name no folder, and half a request may be in them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for given, whole in ((60.0, 60), (90.5, 90), (0.5, 1)):
        pace = pace_of({"requests_per_minute": given}, "a")
        assert isinstance(pace, SharedPace)
        assert (pace._quota, type(pace._quota)) == (whole, int)
        assert pace._folder.path.parent == tmp_path / ".hpc" / "quota"


def test_a_key_of_perspective_has_one_quota_and_each_server_of_a_model_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any key will do for many a server, as EMPTY for vLLM."""
    monkeypatch.setenv("A_KEY", "EMPTY")
    (tmp_path / "prompt.txt").write_text("A prompt.")
    labels = [{"name": "civic", "type": "bool"}]
    model = {"model": "m", "prompt": "prompt.txt", "labels": labels, "requests_per_minute": 60}

    def folder_of(kind: type[Classifier], host: str, **values: object) -> Path:
        values |= {"base_url": f"http://{host}", "api_key_env": "A_KEY"}
        pace = kind(kind.freeze(section(tmp_path, values)), TaskShare())._pace  # type: ignore[attr-defined]
        assert isinstance(pace, SharedPace)
        return pace._folder.path

    assert folder_of(Perspective, "one") == folder_of(Perspective, "two")
    assert folder_of(Llm, "one", **model) != folder_of(Llm, "two", **model)


def test_both_classifiers_take_part_and_leave_when_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    monkeypatch.setattr(shared_pace, "LeaseTerms", functools.partial(LeaseTerms, **_quick()))
    (tmp_path / "prompt.txt").write_text("A prompt.")
    shared = {
        "base_url": "http://127.0.0.1:9",
        "api_key_env": "A_KEY",
        "requests_per_minute": 6000,
        "quota_folder": str(tmp_path / "quota"),
    }
    labels = [{"name": "civic", "type": "bool"}]
    llm = {**shared, "model": "m", "prompt": "prompt.txt", "labels": labels}
    owners = {Perspective: f"key {KEY}", Llm: f"http://127.0.0.1:9 {KEY}"}
    for kind, values in ((Perspective, shared), (Llm, llm)):
        folder = LeaseFolder(tmp_path / "quota", owners[kind])
        frozen = json.loads(json.dumps(kind.freeze(section(tmp_path, values))))
        assert {"requests_per_minute", "quota_folder"} <= kind.operational
        one = kind(frozen, TaskShare())
        assert one._pace.wait(STOP)
        assert len(names(folder, ".6000.lease")) == 1
        one.close()
        assert names(folder, ".lease") == []


def _quick() -> dict[str, float]:
    return {name: getattr(QUICK, name) for name in ("refresh", "trust", "delay", "lease")}
