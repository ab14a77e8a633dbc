"""Read, apply and write the corrections of a run, one file each: `amendments/0001.json`.

The manifest is never edited. What holds is the manifest with the amendments applied in order.
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from pipeline import files
from pipeline.config.keys import Section
from pipeline.errors import InputError
from pipeline.run_files import portable_paths
from pipeline.run_files.json_record import parse_record, parse_version, read_content
from pipeline.run_files.manifest import Manifest

FORMAT = 1
FOLDER = "amendments"
# What of a manifest an amendment may change.
AMENDABLE = (
    "classifier", "checkpoint_rows", "checkpoint_seconds", "retry", "cluster", "notify",
    "trust_group", "session", "layout",
)  # fmt: skip
# A node that looked for the folder before may not see it for a minute (NFS caches the answer).
PATIENCE_S = 60.0


class Change(Section, frozen=True, kw_only=True):
    """Another value for one key."""

    key: str
    """The key as a configuration has it, such as `cluster.account`."""
    place: str
    """The same key in the manifest, such as `cluster.resources.account`."""
    old: object
    new: object


class Amendment(Section, frozen=True, kw_only=True):
    """What a person changed about a run at one time."""

    format: int
    number: int
    amended_at: str
    amended_by: str
    version: str
    """The version of this program that wrote it."""
    after_attempt: int
    """The number of the newest submission at that time: it and those before had the old values."""
    changes: tuple[Change, ...]


def path_of(run_dir: Path, number: int) -> Path:
    """Return the file of an amendment."""
    return run_dir / FOLDER / f"{number:04d}.json"


def read(run_dir: Path) -> tuple[Amendment, ...]:
    """Return all amendments of a run, in order.

    Raises:
        InputError: one is missing or damaged, or another version wrote it.
    """
    count = len(list((run_dir / FOLDER).glob("[0-9]*.json")))
    return tuple(_read(run_dir, number) for number in range(1, count + 1))


def read_first(
    run_dir: Path, count: int, *, patience_s: float = PATIENCE_S
) -> tuple[Amendment, ...]:
    """Return the first amendments of a run, in order, and wait for those that are not there yet.

    Args:
        run_dir: the run's folder.
        count: how many there are.
        patience_s: how long a shared file system may hide them, in seconds.

    Raises:
        InputError: one is missing or damaged, or another version wrote it.
    """
    deadline = time.monotonic() + patience_s
    for number in range(1, count + 1):
        while not path_of(run_dir, number).exists() and time.monotonic() < deadline:
            time.sleep(1)
    return tuple(_read(run_dir, number) for number in range(1, count + 1))


def apply(made: Manifest, amendments: Sequence[Amendment], run_dir: Path) -> Manifest:
    """Return the manifest as it holds after these amendments.

    Raises:
        InputError: an amendment changes what none may change; the message names its file.
    """
    values: dict[str, Any] = {name: deepcopy(getattr(made, name)) for name in AMENDABLE}
    for amendment in amendments:
        for change in amendment.changes:
            *parents, last = change.place.split(".")
            inner: Any = values
            for parent in parents:
                inner = inner.get(parent) if isinstance(inner, dict) else None
            if not isinstance(inner, dict) or (inner is values and last not in values):
                raise InputError(
                    f"{path_of(run_dir, amendment.number)}: {change.key}: no amendment may change "
                    f"{change.place}"
                )
            inner[last] = change.new
    return replace(made, **values) if amendments else made


def undo(now: Manifest, amendments: Sequence[Amendment], run_dir: Path) -> Manifest:
    """Return the manifest as it held before these amendments, which are the last ones."""
    reversed_ones = [
        replace(
            amendment,
            changes=tuple(
                replace(change, old=change.new, new=change.old)
                for change in reversed(amendment.changes)
            ),
        )
        for amendment in reversed(amendments)
    ]
    return apply(now, reversed_ones, run_dir)


def write(run_dir: Path, amendment: Amendment, project: Sequence[Path] = ()) -> None:
    """Write an amendment. It appears whole or not at all, and never replaces another one.

    Args:
        run_dir: the run's folder.
        amendment: what to write.
        project: folders that move together with the run's; paths in them become relative.

    Raises:
        FileExistsError: another process has written an amendment of this number.
    """
    (run_dir / FOLDER).mkdir(exist_ok=True)
    document = portable_paths.relative(amendment.to_json(), run_dir, project)
    files.write_new_json(path_of(run_dir, amendment.number), document)


def _read(run_dir: Path, number: int) -> Amendment:
    path = path_of(run_dir, number)
    try:
        content = read_content(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    written_by = parse_version(content, source=str(path), kind="an amendment")
    if written_by.format != FORMAT:
        raise InputError(
            f"{path} was written by another version (amendment format {written_by.format}, "
            f"version {written_by.version}; this is {FORMAT}): use that version for this run"
        )
    amendment = parse_record(content, Amendment, source=str(path))
    changes = portable_paths.absolute({"": [c.to_json() for c in amendment.changes]}, run_dir)[""]
    return replace(amendment, changes=msgspec.convert(changes, tuple[Change, ...]))
