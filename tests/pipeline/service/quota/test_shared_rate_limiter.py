"""Tasks that share a quota through real files in one folder, on terms of milliseconds."""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.frozen_classifier import create, what_decides
from pipeline.classifiers.options import Options
from pipeline.errors import Cause, TaskError
from pipeline.model import Post
from pipeline.service.quota import shared_rate_limiter
from pipeline.service.quota.lease_folder import LeaseFolder, Listing
from pipeline.service.quota.leases import Lease, LeaseTerms, parse_leases
from pipeline.service.quota.rate_limiter import RateLimiter
from pipeline.service.quota.shared_rate_limiter import SharedRateLimiter, open_rate_limiter
from tests.pipeline.classifiers.classifier_setup import frozen_options, options_of
from tests.servers.openai_stub import OpenAIStub, completion
from tests.servers.perspective import PerspectiveServer
from tests.waiting import wait_until

KEY = "AIza-distinctive-key-4711"
QUICK = LeaseTerms(refresh=0.03, trust=0.4, delay=0.05, lease=2.0)
# Nothing that takes a test's time passes on these terms, but they leave time for the listings.
PATIENT = LeaseTerms(refresh=20.0, trust=40.0, delay=20.0, lease=200.0, aside=1.0)
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
) -> Iterator[SharedRateLimiter]:
    limiter = SharedRateLimiter(folder, per_minute, terms, patience=patience)
    try:
        yield limiter
    finally:
        limiter.close()


def names(folder: LeaseFolder, ending: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(name for name in folder.look().names if name.endswith(ending))
    return []


def is_silent(limiter: SharedRateLimiter) -> bool:
    """Report whether the limiter lets no request go out within a third of a second."""
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    try:
        return not limiter.wait(stop)
    finally:
        timer.cancel()


def test_a_task_sends_after_it_has_joined_and_gives_its_share_back(
    lease_folder: LeaseFolder,
) -> None:
    with task(lease_folder) as first:
        assert (first.trouble, first.share, first.tasks) == ("", None, None)
        assert first.wait(STOP)
        assert first.share == 60_000
        with task(lease_folder) as second:
            assert second.wait(STOP)
            assert (second.share, second.tasks) == (30_000, 2)
            wait_until(lambda: first.share == 30_000)
            assert len(names(lease_folder, ".lease")) == 2
        assert not second.wait(STOP)
        wait_until(lambda: first.share == 60_000)
        assert len(names(lease_folder, ".lease")) == 1
    assert len(names(lease_folder, ".left")) == 2


def test_a_task_sends_nothing_until_the_others_have_seen_its_lease(
    lease_folder: LeaseFolder,
) -> None:
    lease_folder.write(Lease(id="other", quota=60_000, beat=7))
    with task(lease_folder, terms=PATIENT) as joining:
        assert is_silent(joining)
        assert len(names(lease_folder, ".lease")) == 2
        assert lease_folder.claim_holders() == []
        assert joining.trouble == (
            "no share of the quota yet: the task first watches for "
            f"{PATIENT.join:.0f} s which others use it"
        )
        assert joining.lacks_quota


def test_a_task_that_is_alone_with_its_key_sends_at_once_and_so_does_the_next_one(
    lease_folder: LeaseFolder,
) -> None:
    for number in range(1, 4):
        with task(lease_folder, terms=PATIENT) as alone:
            assert alone.wait(STOP)
            assert (alone.share, alone.tasks, alone.trouble) == (60_000, 1, "")
            assert len(lease_folder.claim_holders()) == 1
        assert lease_folder.claim_holders() == []
        assert len(names(lease_folder, ".left")) == number


def test_of_two_tasks_that_start_together_only_one_sends_at_once(
    lease_folder: LeaseFolder,
) -> None:
    with task(lease_folder, terms=PATIENT) as first, task(lease_folder, terms=PATIENT) as second:
        sent: list[SharedRateLimiter] = []
        stop = threading.Event()
        threads = [
            threading.Thread(target=lambda each=limiter: each.wait(stop) and sent.append(each))
            for limiter in (first, second)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: sent != [] and len(names(lease_folder, ".lease")) == 2)
        stop.set()
        for thread in threads:
            thread.join()
    assert len(sent) == 1


def test_the_claim_is_given_back_once_the_lease_is_visible_to_all(
    lease_folder: LeaseFolder,
) -> None:
    terms = LeaseTerms(refresh=0.5, trust=40.0, delay=0.1, lease=200.0)
    with task(lease_folder, terms=terms) as alone:
        assert alone.wait(STOP)
        wait_until(lambda: lease_folder.claim_holders() == [])
        assert alone.wait(STOP)
        assert len(names(lease_folder, ".lease")) == 1


def test_a_claim_that_a_dead_task_left_is_given_back_by_the_next_task_that_joins(
    lease_folder: LeaseFolder,
) -> None:
    lease_folder.write(Lease(id="dead", quota=60_000, beat=1))
    assert lease_folder.take_claim("dead")
    terms = LeaseTerms(refresh=0.03, trust=0.4, delay=0.05, lease=2.0, aside=0.1)
    with task(lease_folder, terms=terms) as joined:
        assert is_silent(joined)
        assert joined.wait(STOP)
        wait_until(lambda: lease_folder.claim_holders() == [])


def test_a_task_whose_leases_were_deleted_joins_again_even_if_it_sees_no_other(
    lease_folder: LeaseFolder,
) -> None:
    """The others' leases were deleted too, and they still rely on their permits."""
    terms = LeaseTerms(refresh=0.5, trust=40.0, delay=20.0, lease=200.0)
    with task(lease_folder, terms=terms) as limiter:
        assert limiter.wait(STOP)
        for path in (*lease_folder.path.glob("*.lease"), *lease_folder.path.glob("claim/*")):
            path.unlink()
        wait_until(lambda: names(lease_folder, ".lease") != [])
        wait_until(lambda: limiter.lacks_quota)
        assert lease_folder.claim_holders() == []


def test_at_most_one_task_holds_the_claim_and_only_its_holder_gives_it_back(
    lease_folder: LeaseFolder,
) -> None:
    lease_folder.write(Lease(id="a", quota=60, beat=1))
    assert lease_folder.take_claim("a")
    assert not lease_folder.take_claim("b")
    lease_folder.give_back_claim("b")
    assert lease_folder.claim_holders() == ["a"]
    lease_folder.give_back_claim("a")
    assert lease_folder.claim_holders() == []
    assert lease_folder.take_claim("b")
    assert lease_folder.look() == Listing(names=("a.1.60.lease",))
    assert sorted(path.name for path in lease_folder.path.iterdir()) == ["a.1.60.lease", "claim"]


@pytest.mark.parametrize("kind", ["file", "pipe", "dangling", "elsewhere"])
def test_a_strangers_entry_in_the_place_of_the_claim_only_makes_tasks_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = LeaseFolder(tmp_path / "quota", "key")
    folder.path.mkdir(parents=True)
    claim = folder.path / "claim"
    ENTRIES[kind](claim)
    before = claim.lstat()
    with task(folder) as limiter:
        assert limiter.wait(STOP)
    assert claim.lstat() == before
    assert folder.claim_holders() == []


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
    with umask(0o007), task(lease_folder, terms=PATIENT) as limiter:
        assert limiter.wait(STOP)
        (lease,) = names(lease_folder, ".lease")
    root = lease_folder.path.parent
    assert [path.stat().st_mode & 0o777 for path in (root, lease_folder.path)] == [0o770, 0o770]
    assert lease_folder.path.name == hashlib.sha256(f"quota of key {KEY}".encode()).hexdigest()[:32]
    assert KEY not in lease
    assert lease.endswith(".60000.lease")
    assert f"-{os.getpid()}-" in lease
    claim = lease_folder.path / "claim"
    assert claim.stat().st_mode & 0o777 == 0o770
    files = [path for path in lease_folder.path.rglob("*") if path.is_file()]
    assert all(path.stat().st_size == 0 for path in files)


def test_people_who_share_a_key_can_share_a_folder_that_they_made(tmp_path: Path) -> None:
    root = tmp_path / "lab"
    root.mkdir()
    root.chmod(0o2770)
    folder = LeaseFolder(root, "key")
    with task(folder) as limiter:
        assert limiter.wait(STOP)
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

    def look(self) -> Listing:
        assert self.works.wait(60)
        return super().look()


def test_a_task_whose_file_system_hangs_stops_by_its_own_clock(tmp_path: Path) -> None:
    folder = Hanging(tmp_path / "quota", "key")
    with task(folder) as limiter:
        assert limiter.wait(STOP)
        folder.works.clear()
        wait_until(lambda: is_silent(limiter))
        folder.works.set()
        assert limiter.wait(STOP)


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
    with task(lease_folder) as limiter:
        assert limiter.wait(STOP)
        (lease_folder.path / name).touch()
        (lease_folder.path / "1000.pause").touch()
        wait_until(lambda: names(lease_folder, "1000.pause") == [])
        assert limiter.wait(STOP)


def test_a_task_joins_again_when_somebody_empties_the_folder(lease_folder: LeaseFolder) -> None:
    with task(lease_folder) as limiter:
        assert limiter.wait(STOP)
        for path in [path for path in lease_folder.path.iterdir() if path.is_file()]:
            path.unlink(missing_ok=True)
        wait_until(lambda: names(lease_folder, ".lease") != [])
        assert limiter.wait(STOP)


def put_link(path: Path, target: Path | str) -> None:
    path.symlink_to(target)


def put_socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)  # bind() takes no path as long as these


def put_huge_file(path: Path) -> None:
    with path.open("w") as file:
        file.truncate(1 << 40)


def put_unreadable(path: Path) -> None:
    path.touch(mode=0o000)


def put_future_file(path: Path) -> None:
    path.touch()
    os.utime(path, (2**33, 2**33))


# What strangers may leave in a shared folder, by the way in which it is made.
ENTRIES: dict[str, Callable[[Path], None]] = {
    "file": Path.touch,
    "garbage": lambda path: path.write_bytes(b"\xff\0" * 4096) and None,
    "huge": put_huge_file,
    "unreadable": put_unreadable,
    "future": put_future_file,
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "socket": put_socket,
    "endless": lambda path: put_link(path, "/dev/zero"),
    "dangling": lambda path: put_link(path, "/nowhere/at/all"),
    "loop": lambda path: put_link(path, path.name),
    "elsewhere": lambda path: put_link(path, "/etc"),
}
FOREIGN_NAMES = [
    "hello.lease",
    "a.1.lease",
    "a.x.60.lease",
    "a b.1.60.lease",
    "a.1.60.7.left",
    "a.1.0.lease",
    f"a.{'9' * 99}.60.left",
    "a\n.1.60.lease",
    "\x1b[2J.lease",
    "²³.pause",
    "notes.txt",
]


@pytest.mark.parametrize("kind", ENTRIES)
def test_an_entry_of_a_stranger_is_reported_and_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    own = Lease(id="own", quota=60, beat=1)
    for number, name in enumerate(FOREIGN_NAMES):
        folder = LeaseFolder(tmp_path / f"quota {number}", "key")
        folder.write(own)
        ENTRIES[kind](folder.path / name)
        assert folder.look() == Listing(names=folder.look().names, foreign=(name,))
        assert parse_leases(folder.look().names) == [own], name


@pytest.mark.parametrize("kind", [kind for kind in ENTRIES if kind not in ("file", "future")])
def test_what_only_has_the_name_of_a_lease_or_pause_is_never_deleted_or_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = LeaseFolder(tmp_path / "quota", "key")
    own, following = (Lease(id="own", quota=60, beat=number) for number in (1, 2))
    folder.write(own)
    for name in (following.name, "1000.pause"):
        ENTRIES[kind](folder.path / name)
    before = {path.name: path.lstat() for path in folder.path.iterdir()}
    with pytest.raises(FileExistsError):
        folder.rename(own, following)
    folder.write_pause(1000)
    if kind == "unreadable":  # an empty file; the owner's permissions do not tell whose it is
        folder.write(following)
    else:
        with pytest.raises(FileExistsError):
            folder.write(following)
        folder.remove([following.name, "1000.pause"])
    assert {path.name: path.lstat() for path in folder.path.iterdir()} == before


class Contested(LeaseFolder):
    """A folder in which a stranger takes the name of a task's second lease."""

    taken: Path | None = None

    def rename(self, old: Lease, new: Lease) -> None:
        if not self.taken:
            self.taken = self.path / new.name
            self.taken.mkdir()
        super().rename(old, new)


def test_a_task_whose_next_lease_is_a_strangers_entry_joins_under_another_name(
    tmp_path: Path,
) -> None:
    folder = Contested(tmp_path / "quota", "key")
    with task(folder) as limiter:
        assert limiter.wait(STOP)
        wait_until(lambda: len(names(folder, ".lease")) == 2)
        assert limiter.wait(STOP)
        assert folder.taken and folder.taken.is_dir()


def test_strangers_are_reported_once_in_the_log_and_the_task_goes_on(
    lease_folder: LeaseFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    lease_folder.path.mkdir(parents=True)
    (lease_folder.path / "he\x1b[2Jllo.lease").touch()
    os.mkfifo(lease_folder.path / "a.1.60.lease")
    with task(lease_folder) as limiter:
        assert limiter.wait(STOP)
        assert limiter.share == 60_000
    (line,) = capfd.readouterr().out.splitlines()
    assert line == (
        f"{lease_folder.path} holds 2 entries of other programs or people, such as 'a.1.60.lease': "
        "ignored. Delete them if nobody needs them"
    )


@pytest.mark.parametrize("place", ["root", "folder", "above"])
@pytest.mark.parametrize("kind", [kind for kind in ENTRIES if kind not in ("folder", "elsewhere")])
def test_what_is_in_the_place_of_a_folder_ends_the_task_at_once_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = LeaseFolder(tmp_path / "lab" / "quota", "key")
    path = {"folder": folder.path, "root": folder.path.parent, "above": tmp_path / "lab"}[place]
    path.parent.mkdir(parents=True, exist_ok=True)
    ENTRIES[kind](path)
    before = path.lstat()  # following a link changes its time of access
    with task(folder) as limiter, pytest.raises(TaskError) as raised:
        limiter.wait(STOP)
    assert raised.value.cause is Cause.REFUSED
    assert str(raised.value) == (
        f"{path} is not a folder, but tasks need a folder there to share the quota: move it away, "
        "or name another folder in quota_folder"
    )
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_size,
        before.st_mtime_ns,
    )


def test_a_link_in_the_place_of_the_keys_folder_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = LeaseFolder(tmp_path / "quota", "key")
    folder.path.parent.mkdir()
    folder.path.symlink_to(elsewhere)
    with task(folder) as limiter, pytest.raises(TaskError) as raised:
        limiter.wait(STOP)
    assert raised.value.cause is Cause.REFUSED
    assert list(elsewhere.iterdir()) == []


def test_a_folder_is_not_listed_through_a_link(tmp_path: Path) -> None:
    folder = LeaseFolder(tmp_path / "quota", "key")
    folder.path.parent.mkdir()
    folder.path.symlink_to(tmp_path)
    with pytest.raises(NotADirectoryError):
        folder.look()


def test_a_folder_that_is_replaced_while_the_task_runs_ends_it(lease_folder: LeaseFolder) -> None:
    with task(lease_folder) as limiter:
        assert limiter.wait(STOP)
        shutil.rmtree(lease_folder.path)
        os.mkfifo(lease_folder.path)
        wait_until(lambda: is_refused(limiter))


def is_refused(limiter: SharedRateLimiter) -> bool:
    try:
        limiter.wait(STOP)
    except TaskError as error:
        return error.cause is Cause.REFUSED
    return False


def test_a_task_that_may_not_write_its_lease_sends_nothing_and_says_why(
    lease_folder: LeaseFolder,
) -> None:
    class Closed(LeaseFolder):
        def write(self, lease: Lease) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(self.path))

    closed = Closed(lease_folder.path.parent, "key")
    with task(closed, patience=0.2) as limiter, pytest.raises(TaskError) as raised:
        limiter.wait(STOP)
    assert raised.value.cause is Cause.CRASHED
    assert str(raised.value) == (
        f"{closed.path}: Permission denied: nothing is sent without a lease"
    )


def test_a_disk_that_is_full_is_waited_out(small_disk: Path) -> None:
    """The next attempts would meet it as well, and use up the shard's attempts."""
    folder = LeaseFolder(small_disk, "key")
    folder.path.mkdir()
    # An empty file needs no block there, but one of the file system's inodes.
    used = os.statvfs(small_disk).f_files - os.statvfs(small_disk).f_ffree

    def allow(inodes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,nr_inodes={inodes}", str(small_disk)], check=True)

    allow(used)
    sent: list[bool] = []
    # No patience: any other error would end the task at once.
    with task(folder, patience=0.0) as limiter:
        waiting = threading.Thread(target=lambda: sent.append(limiter.wait(STOP)))
        waiting.start()
        wait_until(lambda: "No space left on device" in limiter.trouble)
        allow(used + 10)
        waiting.join(60)
    assert sent == [True]


def test_waiting_ends_when_the_task_ends(lease_folder: LeaseFolder) -> None:
    stop = threading.Event()
    lease_folder.write(Lease(id="other", quota=60_000, beat=7))
    with task(lease_folder, terms=PATIENT) as limiter:
        threads = [threading.Thread(target=limiter.wait, args=[stop]) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: limiter.trouble)
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
        limiter = open_rate_limiter(600, str(tmp_path), owner=owner)
        assert isinstance(limiter, SharedRateLimiter)
        return limiter.folder.path

    assert folder_of("a") == folder_of("a") != folder_of("b")
    assert type(open_rate_limiter(None, str(tmp_path), owner="a")) is RateLimiter
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def _quick_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_rate_limiter, "LeaseTerms", lambda: QUICK)


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
