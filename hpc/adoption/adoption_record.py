"""Write and read what is known of each adoption, one file each: `adoptions/0001.json`.

The record is written before the first output of the adoption, whose number is the `attempt` of its
rows. So every row leads to the files that it came from, whatever ended the adoption.
"""

from pathlib import Path

from pipeline import files
from pipeline.config.keys import Section
from pipeline.run_files.json_record import find_record

FORMAT = 1
FOLDER = "adoptions"
_ENDING = ".json"


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
    return run_dir / FOLDER / f"{number:04d}{_ENDING}"


def next_number(run_dir: Path) -> int:
    """Return the number of the next adoption.

    Raises:
        UnreadableError: the folder cannot be read now.
    """
    numbers = (name.removesuffix(_ENDING) for name in files.names_in(run_dir / FOLDER))
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=0)


def write(run_dir: Path, adoption: Adoption) -> None:
    """Write a record, which appears whole or not at all, and never replaces another one."""
    (run_dir / FOLDER).mkdir(exist_ok=True)
    files.write_new_json(path_of(run_dir, adoption.number), adoption.to_json())


def read_all(run_dir: Path) -> tuple[Adoption, ...]:
    """Return all records of a run, in order, also of one that was archived.

    Raises:
        InputError: one is damaged, or another version wrote it.
        UnreadableError: the folder cannot be read now.
    """
    numbers = range(1, next_number(run_dir))
    records = (find_record(path_of(run_dir, number), Adoption) for number in numbers)
    return tuple(record for record in records if record)
