"""The default grace time follows the file system of the run root."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.config.grace_time import (
    SHOWN_AT_ONCE_S,
    default_grace_seconds,
    file_system_of,
)
from hpc.run.cluster.resources import LONGEST_GRACE_S

# Lines of real machines: proc(5) has the fields.
MOUNTINFO = r"""
21 1 253:0 / / rw,relatime shared:1 - xfs /dev/mapper/rhel-root rw,attr2
35 21 0:33 / /home rw,relatime shared:19 - nfs4 filer:/home rw,vers=4.2
36 21 0:34 / /projects rw,relatime - gpfs quest_projects rw
37 36 0:35 / /projects/with\040blank rw - lustre 10.0.0.1@o2ib:/scratch rw,flock
38 21 0:36 / /mnt/beegfs rw shared:3 master:1 - beegfs beegfs_nodev rw
39 21 0:37 / /data rw - autofs /etc/auto.data rw
40 39 0:38 / /data rw - nfs filer:/data rw
41 21 0:39 / /remote rw - fuse.sshfs host: rw
42 21 0:40 / /container rw - overlay overlay rw
""".strip().splitlines()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/scratch/ana/runs", "xfs"),
        ("/home/ana/runs", "nfs4"),
        ("/home", "nfs4"),
        ("/homework", "xfs"),
        ("/projects/p1/runs", "gpfs"),
        ("/projects/with blank/runs", "lustre"),
        ("/mnt/beegfs/runs", "beegfs"),
        ("/data/runs", "nfs"),  # the mount that autofs made, not autofs
        ("/remote/runs", "fuse.sshfs"),
        ("/container/runs", "overlay"),
    ],
)
def test_a_path_is_on_the_innermost_and_newest_mount(path: str, kind: str) -> None:
    assert file_system_of(path, MOUNTINFO) == kind


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        *((kind, SHOWN_AT_ONCE_S) for kind in ("ext4", "xfs", "tmpfs", "gpfs", "lustre", "beegfs")),
        *((kind, LONGEST_GRACE_S) for kind in ("nfs", "nfs4", "cifs", "fuse", "overlay", "autofs")),
    ],
)
def test_only_where_files_appear_at_once_the_grace_time_is_short(
    kind: str, seconds: float, tmp_path: Path
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"21 1 253:0 / / rw - {kind} device rw\n")
    assert default_grace_seconds(tmp_path / "not" / "there yet", mounts) == seconds


def test_a_link_counts_as_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "nfs").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "nfs")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"21 1 253:0 / / rw - ext4 d rw\n22 21 0:1 / {tmp_path.resolve()}/nfs rw - nfs4 d rw\n"
    )
    assert default_grace_seconds(tmp_path / "runs", mounts) == LONGEST_GRACE_S
    assert default_grace_seconds(tmp_path, mounts) == SHOWN_AT_ONCE_S


def test_what_nobody_knows_takes_long(tmp_path: Path) -> None:
    assert default_grace_seconds(tmp_path, tmp_path / "no proc here") == LONGEST_GRACE_S


@given(st.lists(st.text()), st.text())
def test_no_line_is_an_error(lines: list[str], path: str) -> None:
    kind = file_system_of(f"/{path}", lines)
    assert kind is None or any(kind in line for line in lines)
