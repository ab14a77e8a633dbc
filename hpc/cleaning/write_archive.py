"""Put the files of a run into one archive, and take them out again.

The archive is written beside the files, synced, read back and compared with them, and only then
renamed. Only then the files go. A process that is killed at any point leaves the files, the
archive, or both; `remove_archived` goes on from there.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc.locks.run_lock import LOCK
from pipeline import archive, files
from pipeline.archive import archive_path
from pipeline.errors import DamagedError, RunError
from pipeline.name_errors import naming
from pipeline.run_files import amendments, manifest

KEPT = frozenset({manifest.FILE_NAME, amendments.FOLDER, LOCK, archive.FILE_NAME})
"""What stays in the folder of an archived run: it says which run it is."""
_WORTHLESS = (".seen-", files.TEMPORARY_PREFIX)
_MOST_FOLDERS = 100
"""How deep a file may lie. What removes folders descends by recursion."""
_SHOWN = 80
# The oldest time that a zip file can hold.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderContent:
    """What lies in a run's folder, by paths below it."""

    files: tuple[str, ...] = ()
    """What an archive has to hold, in order."""
    caches: tuple[str, ...] = ()
    """Files that are worth nothing: caches, and what killed processes had begun to write."""
    folders: tuple[str, ...] = ()
    """All folders, the innermost first."""
    size: int = 0
    """How many bytes all of these files and caches have."""
    odd: tuple[str, ...] = ()
    """What an archive cannot hold: neither a file nor a folder, such as a link, or with a name
    that is not UTF-8, or too deep a folder."""

    @property
    def inodes(self) -> int:
        """How many files and folders there are, the run's own folder included."""
        return len(self.files) + len(self.caches) + len(self.folders) + len(self.odd) + 1

    @property
    def leftovers(self) -> tuple[str, ...]:
        """What lies in the folder although a run's archive should be all that is left."""
        begun = (path for path in self.caches if path.startswith(files.TEMPORARY_PREFIX))
        rest = (path for path in (*self.files, *self.folders) if _top(path) not in KEPT)
        return (*rest, *begun)


def list_content(run_dir: Path) -> FolderContent:
    """Return what lies in a run's folder, without what an earlier archive holds.

    Raises:
        OSError: a folder cannot be read now.
    """
    found: dict[str, list[str]] = {"files": [], "caches": [], "folders": [], "odd": []}
    size = 0
    for path, status in _walk(run_dir, ""):
        name = path.rpartition("/")[2]
        if stat.S_ISDIR(status.st_mode) and not _is_too_deep(path):
            found["folders"].append(path)
            continue
        if not stat.S_ISREG(status.st_mode) or not _is_utf_8(path):
            found["odd"].append(path)
            continue
        if path != archive.FILE_NAME:
            size += status.st_size
        if path.startswith(_WORTHLESS) or name.startswith(_WORTHLESS):
            found["caches"].append(path)
        elif path not in (LOCK, archive.FILE_NAME):
            found["files"].append(path)
    return FolderContent(
        files=tuple(sorted(found["files"])),
        caches=tuple(found["caches"]),
        folders=tuple(sorted(found["folders"], reverse=True)),
        odd=tuple(found["odd"]),
        size=size,
    )


def _is_utf_8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_too_deep(path: str) -> bool:
    return path.count("/") >= _MOST_FOLDERS


def _walk(run_dir: Path, folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(run_dir / folder) as entries:
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            status = entry.stat(follow_symlinks=False)
            yield path, status
            if stat.S_ISDIR(status.st_mode) and not _is_too_deep(path):
                yield from _walk(run_dir, path)


def write_archive(run_dir: Path, content: FolderContent, expected: Mapping[str, str]) -> None:
    """Write the archive of a run, and verify it. The caller holds the run's lock.

    Args:
        run_dir: the run's folder.
        content: what lies in it.
        expected: the SHA-256 that files must have, in hexadecimal, by path.

    Raises:
        RunError: a file is not the one that is expected, or the archive does not hold what it
            should; then nothing has changed.
        OSError: a file cannot be read, or the disk is full.
    """
    digests: dict[str, str] = {}
    target = archive_path(run_dir)
    temporary = target.with_name(f"{files.TEMPORARY_PREFIX}{uuid.uuid4().hex}-{target.name}")
    try:
        with (
            naming(target),
            zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED, allowZip64=True) as file,
        ):
            for path in content.files:
                digests[path] = _add(file, run_dir / path, path)
                if path in expected and digests[path] != expected[path]:
                    raise RunError(
                        f"{run_dir / path} is not what was gathered from it. Run hpc gather, then "
                        "hpc audit"
                    )
        files.sync_all([temporary])
        files.forget_cached_pages(temporary)
        _verify(temporary, digests)
        # Whoever may read the run may read its archive.
        temporary.chmod(_mode_of_files(run_dir))
        temporary.replace(target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    files.sync_all([run_dir])


def _mode_of_files(run_dir: Path) -> int:
    return stat.S_IMODE((run_dir / manifest.FILE_NAME).stat().st_mode)


def _add(file: zipfile.ZipFile, source: Path, path: str) -> str:
    """Add a file to an archive, and return its SHA-256."""
    sha256 = hashlib.sha256()
    entry = zipfile.ZipInfo(path, _NO_TIME)
    entry.external_attr = (stat.S_IFREG | stat.S_IMODE(source.stat().st_mode)) << 16
    with archive.open_part(source) as part, file.open(entry, "w", force_zip64=True) as target:
        for chunk in part.chunks():
            sha256.update(chunk)
            target.write(chunk)
    return sha256.hexdigest()


def _verify(path: Path, digests: Mapping[str, str]) -> None:
    """Read an archive back, as its readers do, and compare every member with its file.

    Raises:
        RunError: it does not hold exactly these members.
    """
    try:
        read = {
            name: archive.digest_member(each) for name, each in archive.members_of(path).items()
        }
    except DamagedError as error:
        raise RunError(f"the archive could not be read back: {error}") from error
    if read != digests:
        wrong = next(name for name in {*read, *digests} if read.get(name) != digests.get(name))
        raise RunError(f"the archive could not be read back: {wrong} is not what was written")


def remove_archived(run_dir: Path, content: FolderContent) -> list[str]:
    """Remove the files that the run's archive holds, and what is worth nothing.

    A folder goes as a whole, by a rename before its files are removed. What the archive does not
    hold with the same bytes stays, with all that lies in the same folder: an archive may have been
    damaged since an earlier cleaning verified it. The caller holds the run's lock.

    Returns:
        The files that the archive does not hold.

    Raises:
        DamagedError: the archive cannot be read as one.
        OSError: a file cannot be read or removed.
    """
    members = archive.members_of(archive_path(run_dir))
    stays = [
        path
        for path in content.files
        if _top(path) not in KEPT and not _holds(members, path, run_dir)
    ]
    keeps = KEPT | set(map(_top, (*stays, *content.odd)))
    for path in sorted({_top(path) for path in (*content.files, *content.folders)} - keeps):
        _remove_whole(run_dir / path)
    for path in content.caches:
        if _top(path) not in keeps:
            _remove_whole(run_dir / _top(path))
    return stays


def _top(path: str) -> str:
    return path.partition("/")[0]


def _holds(members: Mapping[str, archive.Member], path: str, run_dir: Path) -> bool:
    """Tell whether an archive has a member with the bytes of a file."""
    member = members.get(path)
    if member is None or member.size != (run_dir / path).stat().st_size:
        return False
    return archive.digest_member(member) == files.sha256_of(run_dir / path)


def _remove_whole(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if not path.name.startswith(files.TEMPORARY_PREFIX):
        path = path.rename(path.with_name(f"{files.TEMPORARY_PREFIX}{uuid.uuid4().hex}"))
    shutil.rmtree(path)


def unpack_archive(run_dir: Path) -> int:
    """Write the files of an archive into the run's folder again, and remove the archive.

    A folder appears as a whole, unless it is there already: somebody may have put a file into it
    since. A file that is there already stays as it is. The caller holds the run's lock.

    Returns:
        How many files were written.

    Raises:
        DamagedError: a member is not what was archived; the archive stays.
        OSError: the disk is full, or a file cannot be written; the archive stays.
    """
    members = archive.members_of(archive_path(run_dir))
    if deep := next((path for path in members if path.count("/") > _MOST_FOLDERS), None):
        problem = f"{deep[:_SHOWN]}… lies more than {_MOST_FOLDERS} folders deep"
        raise DamagedError(archive_path(run_dir), problem)
    place = run_dir / f"{files.TEMPORARY_PREFIX}{uuid.uuid4().hex}"
    place.mkdir()
    mode = _mode_of_files(run_dir)
    try:
        written = [path for path in members if not os.path.lexists(run_dir / path)]
        for path in written:
            target = place / path
            if not target.resolve().is_relative_to(place.resolve()):
                raise DamagedError(archive_path(run_dir), f"{path} leads out of the run's folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            archive.copy_member(members[path], target)
            target.chmod(mode)
        files.sync_all([*(place / path for path in written)])
        for name in sorted(set(map(_top, written))):
            _move_into(place / name, run_dir / name)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    folders = {parent for path in written for parent in (run_dir / path).parents}
    files.sync_all(sorted(folder for folder in folders if folder.is_relative_to(run_dir)))
    archive_path(run_dir).unlink()
    files.sync_all([run_dir])
    return len(written)


def _move_into(source: Path, target: Path) -> None:
    """Move a file or folder to its place; what is in a folder there stays."""
    if not target.is_dir():
        source.rename(target)
        return
    for path in sorted(source.iterdir()):
        _move_into(path, target / path.name)
