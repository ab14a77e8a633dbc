"""Write and read what is known of each adoption, one file each: `adoptions/0001.json`.

The record is written before the first output of the adoption, whose number is the `attempt` of its
rows. So every row leads to the files that it came from, whatever ended the adoption.
"""

import re
from pathlib import Path

from pipeline import files
from pipeline.config.keys import Section
from pipeline.errors import InputError, RunError
from pipeline.run_files.json_record import find_record

FORMAT = 1
FOLDER = "adoptions"
_NAME = re.compile(r"(\d{4,9})\.json")
LARGEST = 10**9 - 1
"""The largest number that an adoption can have."""
_ADVICE = (
    "Restore the file from a backup, or move it out of the folder. Without it, the labels of that "
    "adoption stay, but nothing says which files and which engine they came from"
)


class AdoptedFile(Section, frozen=True, kw_only=True):
    """One file of the engine."""

    path: str
    """Where it was read."""
    sha256: str
    bytes: int
    rows: int


class Adoption(Section, frozen=True, kw_only=True):
    """What was adopted at one time."""

    format: int
    number: int
    """Its number, which its outputs have as their attempt."""
    adopted_at: str
    """When (UTC)."""
    adopted_by: str
    version: str
    """The version of this program."""
    engine: str
    """What gave the answers, with its version; '' if nobody said it."""
    files: tuple[AdoptedFile, ...]
    answers: int
    """How many answers were not adopted before."""
    missing: str
    """The reason that posts without an answer got; '' if they wait for one."""


def path_of(run_dir: Path, number: int) -> Path:
    """Return the file of an adoption."""
    return run_dir / FOLDER / f"{number:04d}.json"


def numbers(run_dir: Path) -> list[int]:
    """Return the numbers of all records of a run, sorted; other files in the folder do not count.

    Raises:
        UnreadableError: the folder cannot be read now.
    """
    found = map(_NAME.fullmatch, files.names_in(run_dir / FOLDER))
    return sorted(int(match[1]) for match in found if match)


def write(run_dir: Path, adoption: Adoption) -> None:
    """Write a record, which appears whole or not at all, and never replaces another one."""
    (run_dir / FOLDER).mkdir(exist_ok=True)
    files.write_new_json(path_of(run_dir, adoption.number), adoption.to_json())


def read_all(run_dir: Path) -> tuple[Adoption, ...]:
    """Return all records of a run, in order, also of one that was archived.

    Raises:
        RunError: one is damaged, or another version wrote it; the message says what to do.
        UnreadableError: the folder cannot be read now.
    """
    records = (_read(path_of(run_dir, number), number) for number in numbers(run_dir))
    return tuple(record for record in records if record)


def _read(path: Path, number: int) -> Adoption | None:
    try:
        record = find_record(path, Adoption)
    except InputError as error:
        raise RunError(f"{error}. {_ADVICE}") from None
    if record and record.number != number:
        raise RunError(f"{path} is the record of adoption {record.number}. {_ADVICE}")
    return record
