"""Runs that others can write to are refused, because they decide what a user's tasks run."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from hpc.executors.local.executor import LocalExecutor
from hpc.reconcile.checks.preflight import check_before_submission
from hpc.reconcile.checks.trust import check_root, check_run, describe_older_run
from hpc.reconcile.gathering.gather import gather_run
from hpc.reconcile.gathering.rebuild import rebuild
from hpc.run.model.run import Run
from pipeline.errors import InputError, RunError
from pipeline.system.ownership import close_to_group, other_writers, private_files
from tests.hpc.cli_bench import valence_run
from tests.hpc.users import ANA, GROUP, only_root

pytestmark = only_root


def group_writable(path: Path) -> None:
    os.chown(path, -1, GROUP)
    path.chmod(path.stat().st_mode | stat.S_IWGRP)


def world_writable(path: Path) -> None:
    path.chmod(path.stat().st_mode | stat.S_IWOTH)


def world_writable_and_sticky(path: Path) -> None:
    path.chmod(0o1777)


def another_users(path: Path) -> None:
    os.chown(path, ANA, -1)


CLOSED: dict[str, Callable[[Path], None]] = {
    "as-it-is": lambda path: None,
    "readable-by-all": lambda path: path.chmod(0o755),
    "group-reads": lambda path: os.chown(path, -1, GROUP),
    "own-group-writes": lambda path: path.chmod(0o775),  # the group of root has only root
}
SHARED: dict[str, Callable[[Path], None]] = {
    "group": group_writable,
    "owner": another_users,
}
OPEN: dict[str, Callable[[Path], None]] = {
    "everybody": world_writable,
    "everybody-sticky": world_writable_and_sticky,
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return trusting(valence_run(tmp_path, 4), False)


def trusting(run: Run, trust_group: bool | None) -> Run:
    return replace(run, manifest=msgspec.structs.replace(run.manifest, trust_group=trust_group))


@pytest.mark.parametrize("kind", CLOSED)
def test_a_folder_that_only_its_user_can_write_to_is_accepted(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    CLOSED[kind](root)
    assert other_writers(root) is None
    check_root(root, trusts_group=False)


def test_a_folder_that_does_not_exist_yet_is_accepted(tmp_path: Path) -> None:
    check_root(tmp_path / "runs", trusts_group=False)


@pytest.mark.parametrize("kind", SHARED)
def test_a_folder_that_others_can_write_to_needs_trust(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    SHARED[kind](root)
    with pytest.raises(InputError) as raised:
        check_root(root, trusts_group=False)
    message = str(raised.value)
    assert f"{root} (drwx" in message
    assert "storage.trust_group: true" in message
    assert ("chmod -R g-w" in message) == (kind == "group")
    check_root(root, trusts_group=True)


@pytest.mark.parametrize("kind", OPEN)
@pytest.mark.parametrize("trusts_group", [False, True])
def test_a_folder_that_everybody_can_write_to_is_always_refused(
    tmp_path: Path, kind: str, trusts_group: bool
) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    OPEN[kind](root)
    with pytest.raises(InputError, match="chmod -R o-w"):
        check_root(root, trusts_group=trusts_group)


@pytest.mark.parametrize(("mode", "is_refused"), [(0o777, True), (0o1777, False)])
def test_what_everybody_can_replace_is_refused(tmp_path: Path, mode: int, is_refused: bool) -> None:
    """With the sticky bit, as /tmp has it, only owners rename what is in a folder."""
    (tmp_path / "scratch" / "runs").mkdir(parents=True)
    (tmp_path / "scratch").chmod(mode)
    if not is_refused:
        check_root(tmp_path / "scratch" / "runs", trusts_group=False)
        return
    with pytest.raises(InputError, match=f"chmod o-w {tmp_path}/scratch"):
        check_root(tmp_path / "scratch" / "runs", trusts_group=False)


@pytest.mark.parametrize(("mode", "is_refused"), [(0o777, True), (0o1777, False)])
def test_a_run_that_everybody_can_replace_is_refused(
    run: Run, mode: int, *, is_refused: bool
) -> None:
    """Also through a link to the folder of all runs, which can be replaced too."""
    link = run.folder.parent.with_name("links") / "runs"
    link.parent.mkdir()
    link.symlink_to(run.folder.parent)
    linked = replace(run, folder=link / run.folder.name)
    check_run(linked)
    for part in (run.folder.parent.parent, link.parent):
        former = stat.S_IMODE(part.stat().st_mode)
        part.chmod(mode)
        if is_refused:
            with pytest.raises(InputError, match=f"chmod o-w {part}"):
                check_run(linked)
        else:
            check_run(linked)
        part.chmod(former)


PARTS = [
    "..", ".", "manifest.json", "logs", "logs/0001", "submissions", "submissions/0001.json",
    "amendments", "amendments/0001.json", "shards", "outputs",
]  # fmt: skip


@pytest.mark.parametrize("kind", SHARED | OPEN)
@pytest.mark.parametrize("part", PARTS)
def test_a_run_is_neither_submitted_nor_gathered_while_others_can_write_to_it(
    run: Run, part: str, kind: str
) -> None:
    (run.folder / "logs" / "0001").mkdir(parents=True, exist_ok=True)
    for name in ("submissions", "amendments", "outputs"):
        (run.folder / name).mkdir(exist_ok=True)
    for name in ("submissions", "amendments"):
        (run.folder / name / "0001.json").touch(0o600)
    check_run(run)
    (SHARED | OPEN)[kind]((run.folder / part).resolve())
    with pytest.raises(InputError):
        check_before_submission(run)
    with pytest.raises(InputError):
        gather_run(run, LocalExecutor(), lambda line: None)
    assert not Path(run.manifest.database).exists()
    if kind in SHARED:
        check_run(trusting(run, True))
    else:
        with pytest.raises(InputError):
            check_run(trusting(run, True))


@pytest.mark.parametrize("kind", SHARED | OPEN)
def test_a_rebuild_leaves_out_a_run_that_others_can_write_to(run: Run, kind: str) -> None:
    manifest = run.folder / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "trust_group": False}))
    (SHARED | OPEN)[kind](manifest)
    lines: list[str] = []
    with pytest.raises(RunError):
        rebuild(run, lines.append)
    assert any(str(manifest) in line for line in lines)
    assert not Path(run.manifest.database).exists()


@pytest.mark.parametrize("kind", SHARED | OPEN)
def test_a_run_from_before_the_key_goes_on_and_says_what_is_open(run: Run, kind: str) -> None:
    older = trusting(run, None)
    assert describe_older_run(older) == ""
    (SHARED | OPEN)[kind](run.folder)
    check_run(older)
    assert str(run.folder) in describe_older_run(older)
    assert describe_older_run(run) == ""


def test_an_access_list_counts_although_the_group_is_ones_own(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir(mode=0o775)
    root.chmod(0o775)
    entries = (  # version 2; owner, a user by name, group, mask, others
        (0x01, 7, 0xFFFFFFFF), (0x02, 7, ANA), (0x04, 5, 0xFFFFFFFF), (0x10, 7, 0xFFFFFFFF),
        (0x20, 5, 0xFFFFFFFF),
    )  # fmt: skip
    content = (2).to_bytes(4, "little") + b"".join(
        tag.to_bytes(2, "little") + permissions.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, permissions, who in entries
    )
    try:
        os.setxattr(root, "system.posix_acl_access", content)
    except OSError:
        pytest.skip("this file system has no access lists")
    with pytest.raises(InputError, match="access list"):
        check_root(root, trusts_group=False)


@pytest.mark.parametrize(
    ("umask", "closed_to_group", "modes"),
    [
        (0o022, False, (0o750, 0o640)),
        (0o002, False, (0o770, 0o660)),
        (0o002, True, (0o750, 0o640)),
        (0o077, True, (0o700, 0o600)),
        (0o000, False, (0o770, 0o660)),
    ],
)
def test_new_files_are_closed_to_others_whatever_the_umask(
    tmp_path: Path, umask: int, closed_to_group: bool, modes: tuple[int, int]
) -> None:
    former = os.umask(umask)
    try:
        with private_files():
            if closed_to_group:
                close_to_group()
            (tmp_path / "folder").mkdir()
            (tmp_path / "file").touch()
        assert os.umask(umask) == umask
    finally:
        os.umask(former)
    made = (tmp_path / "folder", tmp_path / "file")
    assert tuple(path.stat().st_mode & 0o777 for path in made) == modes
