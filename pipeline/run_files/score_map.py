"""Write and read maps: how a successor's scores become those of the classifier that it replaces.

A map is one file below the run root, `maps/<b>_as_<a>.json`, so that a rebuilt database has it too.
"""

import math
import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from pipeline import files
from pipeline.config.keys import Section
from pipeline.errors import InputError
from pipeline.run_files.json_record import read_record

FOLDER = "maps"
ISOTONIC = "isotonic"
_ENDING = ".json"


class ColumnMap(Section, frozen=True, kw_only=True):
    """The map of one column. Between knots it is linear, and outside them it is constant."""

    a: str
    """The column of A, whose name the mapped column gets."""
    b: str
    """The column of B that is mapped."""
    posts: int
    """How many posts it was fitted on."""
    knots: tuple[tuple[float, float], ...]
    """Scores of B, ascending, each with the score of A, which never descends."""


class ScoreMap(Section, frozen=True, kw_only=True):
    """The maps of a successor's columns, and what they were fitted on."""

    name: str
    """Of the mapped labels: `<b>_as_<a>`."""
    a: str
    """The name of the labels whose scale is wanted."""
    b: str
    """The name of the labels that are mapped."""
    method: str
    sample: str | None
    """The sample that weighted the posts; null if all counted alike."""
    fitted_at: str
    """ISO 8601, UTC."""
    program_version: str
    config_hashes_of_a: tuple[str, ...]
    """The labeling setups of the posts of A that it was fitted on."""
    config_hashes_of_b: tuple[str, ...]
    """Those of B. Only rows of these setups are mapped."""
    columns: tuple[ColumnMap, ...]


def name_of(b: str, a: str) -> str:
    """Return the name of B's labels on the scale of A."""
    return f"{b}_as_{a}"


def path_of(run_root: Path, name: str) -> Path:
    """Return the file of a map."""
    return run_root / FOLDER / f"{name}{_ENDING}"


def list_files(run_root: Path) -> list[Path]:
    """Return the files of all maps under a run root, by name.

    Raises:
        UnreadableError: the folder cannot be read now.
    """
    return files.with_ending(run_root / FOLDER, _ENDING)


def write(run_root: Path, made: ScoreMap) -> Path | None:
    """Write a map. Return where the one that it replaces is kept, or None where there is none.

    Raises:
        OSError: the disk is full, or the folder is closed to this user.
    """
    path = path_of(run_root, made.name)
    path.parent.mkdir(exist_ok=True)
    kept = _keep_old(path) if path.exists() else None
    files.write_json(path, made.to_json())
    return kept


def read(path: Path) -> ScoreMap:
    """Return a map, checked.

    Raises:
        OSError: it cannot be read now.
        InputError: it is no map, or its numbers cannot be those of one.
    """
    found = read_record(path, ScoreMap)
    if name_of(found.b, found.a) != found.name or path.name != f"{found.name}{_ENDING}":
        raise InputError(f"{path} is the map {found.name}, renamed: rename it back")
    if found.method != ISOTONIC:
        raise InputError(f"{path}: a map of the method {found.method!r} needs another version")
    for column in found.columns:
        if problem := _find_problem(column):
            raise InputError(f"{path} is damaged: column {column.a}: {problem}")
    return found


def _keep_old(path: Path) -> Path:
    kept = files.name_to_keep(path)
    # The map is there at any moment, also if this process ends here.
    try:
        os.link(path, kept)
    except OSError:  # a file system without hard links
        shutil.copy2(path, kept)
    return kept


def _find_problem(column: ColumnMap) -> str:
    scores = [score for score, _ in column.knots]
    values = [value for _, value in column.knots]
    checks: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("it has no knots", lambda: not column.knots),
        ("a knot is no finite number", lambda: not all(map(math.isfinite, (*scores, *values)))),
        ("its scores do not ascend", lambda: any(b <= a for a, b in pairwise(scores))),
        ("its values descend", lambda: any(b < a for a, b in pairwise(values))),
    )
    return next((problem for problem, is_so in checks if is_so()), "")
