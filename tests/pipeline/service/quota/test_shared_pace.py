"""Tasks that share a quota through real files in one folder, on terms of milliseconds."""

import contextlib
import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.classifiers.base import Classifier, TaskShare, create, what_decides
from pipeline.classifiers.options import Options
from pipeline.errors import Cause, TaskError
from pipeline.model import Post
from pipeline.service.quota import shared_pace
from pipeline.service.quota.lease_folder import LeaseFolder
from pipeline.service.quota.leases import Lease, LeaseTerms
from pipeline.service.quota.pace import Pace
from pipeline.service.quota.shared_pace import SharedPace, pace_of
from tests.pipeline.classifiers.classifier_setup import frozen_options, options_of
from tests.servers.openai_stub import OpenAIStub, completion
from tests.servers.perspective import PerspectiveServer
from tests.waiting import wait_until

KEY = "AIza-distinctive-key-4711"
QUICK = LeaseTerms(refresh=0.03, trust=0.4, delay=0.05, lease=2.0)
STOP = threading.Event()


@pytest.fixture
def lease_folder(tmp_path: Path) -> LeaseFolder:
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


def names(folder: LeaseFolder, ending: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(name for name in folder.names() if name.endswith(ending))
    return []


def is_silent(pace: SharedPace) -> bool:
    """Report whether the pace lets no request go out within a third of a second."""
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    try:
        return not pace.wait(stop)
    finally:
        timer.cancel()


def test_a_task_sends_after_it_has_joined_and_gives_its_share_back(
    lease_folder: LeaseFolder,
) -> None:
    with task(lease_folder) as first:
        assert (first.trouble, first.share) == ("", None)
        assert first.wait(STOP)
        assert first.share == 60_000
        with task(lease_folder) as second:
            assert second.wait(STOP)
            assert second.share == 30_000
            wait_until(lambda: first.share == 30_000)
            assert len(names(lease_folder, ".lease")) == 2
        assert not second.wait(STOP)
        wait_until(lambda: first.share == 60_000)
        assert len(names(lease_folder, ".lease")) == 1
    assert len(names(lease_folder, ".left")) == 2


def test_a_task_sends_nothing_until_the_others_have_seen_its_lease(
    lease_folder: LeaseFolder,
) -> None:
    terms = LeaseTerms(refresh=0.03, trust=40.0, delay=20.0, lease=200.0)
    with task(lease_folder, terms=terms) as joining:
        assert is_silent(joining)
        assert len(names(lease_folder, ".lease")) == 1
        assert joining.trouble == "waiting for a share of the quota from the other tasks"


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    former = os.umask(mask)
    try:
        yield
    finally:
        os.umask(former)


def test_the_folder_has_the_mode_of_the_umask_and_does_not_name_the_key(
    lease_folder: LeaseFolder,
) -> None:
    with umask(0o007), task(lease_folder) as pace:
        assert pace.wait(STOP)
        (lease,) = names(lease_folder, ".lease")
    root = lease_folder.path.parent
    assert [path.stat().st_mode & 0o777 for path in (root, lease_folder.path)] == [0o770, 0o770]
    assert lease_folder.path.name == hashlib.sha256(f"quota of key {KEY}".encode()).hexdigest()[:32]
    assert KEY not in lease
    assert lease.endswith(".60000.lease")
    assert f"-{os.getpid()}-" in lease
    assert all(path.stat().st_size == 0 for path in lease_folder.path.iterdir())


def test_people_who_share_a_key_can_share_a_folder_that_they_made(tmp_path: Path) -> None:
    root = tmp_path / "lab"
    root.mkdir()
    root.chmod(0o2770)
    folder = LeaseFolder(root, "key")
    with task(folder) as pace:
        assert pace.wait(STOP)
    assert folder.path.stat().st_mode & 0o7777 == 0o2770


class NoLeaving(LeaseFolder):
    """The folder as a task leaves it that dies: its lease is never renamed to `.left`."""

    def rename(self, old: Lease, new: Lease) -> None:
        if new.left:
            raise OSError("the task is dead")
        super().rename(old, new)


def test_the_share_of_a_task_that_died_returns_to_the_others(tmp_path: Path) -> None:
    folder = LeaseFolder(tmp_path / "quota", "key")
    with task(folder) as alive:
        with task(NoLeaving(tmp_path / "quota", "key")) as dead:
            assert alive.wait(STOP) and dead.wait(STOP)
            wait_until(lambda: alive.share == 30_000)
        assert names(folder, ".left") == []
        wait_until(lambda: alive.share == 60_000)


def test_the_lowest_quota_of_the_tasks_alive_is_shared(lease_folder: LeaseFolder) -> None:
    with task(lease_folder, 60_000) as first, task(lease_folder, 40_000) as second:
        assert first.wait(STOP) and second.wait(STOP)
        wait_until(lambda: (first.share, second.share) == (20_000, 20_000))


class Hanging(LeaseFolder):
    """A folder on a file system that may hang."""

    def __init__(self, root: Path, owner: str) -> None:
        super().__init__(root, owner)
        self.works = threading.Event()
        self.works.set()

    def names(self) -> list[str]:
        assert self.works.wait(60)
        return super().names()


def test_a_task_whose_file_system_hangs_stops_by_its_own_clock(tmp_path: Path) -> None:
    folder = Hanging(tmp_path / "quota", "key")
    with task(folder) as pace:
        assert pace.wait(STOP)
        folder.works.clear()
        wait_until(lambda: is_silent(pace))
        folder.works.set()
        assert pace.wait(STOP)


def test_a_pause_holds_for_all_tasks_of_the_key(lease_folder: LeaseFolder) -> None:
    with task(lease_folder) as first, task(lease_folder) as second:
        assert first.wait(STOP) and second.wait(STOP)
        first.pause(500)
        wait_until(lambda: is_silent(second))
        wait_until(lambda: len(names(lease_folder, ".pause")) == 1)
        second.pause(500)
        assert is_silent(first)
        with task(lease_folder) as third:
            wait_until(lambda: is_silent(third) and third.share)
            assert is_silent(third)
        assert len(names(lease_folder, ".pause")) == 1


@pytest.mark.parametrize("name", [f"{10**12}.pause", "x.pause", "²³.pause", f"{'9' * 99}.pause"])
def test_a_pause_that_no_service_asks_for_stops_nobody(
    lease_folder: LeaseFolder, name: str
) -> None:
    with task(lease_folder) as pace:
        assert pace.wait(STOP)
        (lease_folder.path / name).touch()
        (lease_folder.path / "1000.pause").touch()
        wait_until(lambda: names(lease_folder, "1000.pause") == [])
        assert pace.wait(STOP)


def test_a_task_joins_again_when_somebody_empties_the_folder(lease_folder: LeaseFolder) -> None:
    with task(lease_folder) as pace:
        assert pace.wait(STOP)
        for path in list(lease_folder.path.iterdir()):
            path.unlink(missing_ok=True)
        wait_until(lambda: names(lease_folder, ".lease") != [])
        assert pace.wait(STOP)


def test_a_lease_of_another_version_ends_the_task(lease_folder: LeaseFolder) -> None:
    lease_folder.path.mkdir(parents=True)
    (lease_folder.path / "v2.lease").touch()
    with task(lease_folder) as pace, pytest.raises(TaskError) as raised:
        pace.wait(STOP)
    assert raised.value.cause is Cause.REFUSED
    assert str(raised.value) == (
        f"{lease_folder.path}/v2.lease is not a lease that this version can read: delete it if "
        "nothing else uses the key"
    )


def test_a_task_without_a_place_for_its_lease_sends_nothing_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "quota").touch()
    folder = LeaseFolder(tmp_path / "quota", "key")
    with task(folder, patience=0.2) as pace, pytest.raises(TaskError) as raised:
        pace.wait(STOP)
    assert raised.value.cause is Cause.CRASHED
    assert str(raised.value).startswith(f"{folder.path}: ")
    assert str(raised.value).endswith(": nothing is sent without a lease")


def test_a_disk_that_stays_full_ends_the_task(small_disk: Path) -> None:
    folder = LeaseFolder(small_disk, "key")
    folder.path.mkdir()
    # An empty file needs no block there, but one of the file system's inodes.
    used = os.statvfs(small_disk).f_files - os.statvfs(small_disk).f_ffree
    full = f"remount,nr_inodes={used}"
    subprocess.run(["mount", "-o", full, str(small_disk)], check=True)
    with task(folder, patience=0.3) as pace:
        with pytest.raises(TaskError, match="No space left on device: nothing is sent without a"):
            pace.wait(STOP)
        assert "No space left on device" in pace.trouble


def test_waiting_ends_when_the_task_ends(lease_folder: LeaseFolder) -> None:
    stop = threading.Event()
    with task(lease_folder, terms=LeaseTerms()) as pace:
        threads = [threading.Thread(target=pace.wait, args=[stop]) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: pace.trouble)
        stop.set()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)


def test_the_folder_of_the_quota_is_made_absolute_but_not_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_KEY", "k")
    key = {"api_key_env": "A_KEY"}
    assert options_of("perspective", key).quota_folder == f"{tmp_path}/.hpc/quota"
    given = options_of("perspective", {**key, "quota_folder": "lab/quota"})
    assert given.quota_folder == f"{tmp_path}/lab/quota"
    assert list(tmp_path.iterdir()) == []


def test_each_owner_has_a_quota_of_its_own(tmp_path: Path) -> None:
    def folder_of(owner: str) -> Path:
        pace = pace_of(600, str(tmp_path), owner=owner)
        assert isinstance(pace, SharedPace)
        return pace.folder.path

    assert folder_of("a") == folder_of("a") != folder_of("b")
    assert type(pace_of(None, str(tmp_path), owner="a")) is Pace
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def _quick_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_pace, "LeaseTerms", lambda: QUICK)


def classify_once(classifier: Classifier[Options]) -> None:
    assert len(list(classifier.classify([Post("at://1", "A post.")]))) == 1


@pytest.mark.usefixtures("_quick_terms")
def test_a_perspective_key_has_one_quota_whatever_server_it_is_used_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", KEY)
    with PerspectiveServer(key=KEY) as first, PerspectiveServer(key=KEY) as second:
        for server in (first, second):
            values = {
                "base_url": server.url,
                "requests_per_minute": 6000,
                "quota_folder": str(tmp_path / "quota"),
            }
            frozen = frozen_options({"type": "perspective", **values}, tmp_path)
            classifier = create(frozen, TaskShare())
            classify_once(classifier)
            classifier.close()
    folder = LeaseFolder(tmp_path / "quota", f"key {KEY}")
    assert list(folder.path.parent.iterdir()) == [folder.path]
    assert (names(folder, ".lease"), len(names(folder, ".left"))) == ([], 2)


@pytest.mark.usefixtures("_quick_terms")
def test_each_server_of_a_language_model_has_a_quota_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many servers accept any key, such as EMPTY for vLLM, so the key alone identifies no quota."""
    monkeypatch.setenv("A_KEY", "EMPTY")
    (tmp_path / "prompt.txt").write_text("A prompt.")
    with (
        OpenAIStub(lambda *_: completion('{"civic": true}')) as first,
        OpenAIStub(lambda *_: completion('{"civic": true}')) as second,
    ):
        for server in (first, second):
            values = {
                "base_url": server.base_url,
                "api_key_env": "A_KEY",
                "model": "m",
                "prompt": "prompt.txt",
                "labels": [{"name": "civic", "type": "bool"}],
                "requests_per_minute": 6000,
                "quota_folder": str(tmp_path / "quota"),
            }
            frozen = frozen_options({"type": "llm", **values}, tmp_path)
            classifier = create(frozen, TaskShare())
            folder = LeaseFolder(tmp_path / "quota", f"{server.base_url} EMPTY")
            classify_once(classifier)
            assert len(names(folder, ".6000.lease")) == 1
            classifier.close()
            assert names(folder, ".lease") == []
    assert len(list((tmp_path / "quota").iterdir())) == 2


def test_the_quota_changes_no_label() -> None:
    options = {"requests_per_minute": 60, "quota_folder": "/quota"}
    for kind in ("perspective", "llm"):
        assert what_decides({"type": kind, **options}) == {"type": kind}
