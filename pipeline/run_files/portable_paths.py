"""Write a manifest's paths relative to the run's folder, and read them where that folder is now.

A project is then moved or copied as a whole: its database, its quota folder, its key file and its
Python are found beside it, and never at the place that it came from. Paths outside the project stay
absolute.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline.config.check import Problems, check
from pipeline.config.sections import StorageSection
from pipeline.errors import InputError, UnreadableError
from pipeline.late_imports import yaml_file

# What a path relative to the run's folder begins with. Without it, `../venv/bin/python` and the
# name of a model on a hub could be taken for one.
RUN = "{run}/"
# It belongs to the user, not to a project, also where the project is the user's home: all runs that
# use a key share its quota.
USER_FOLDER = ".hpc"


def project_folders(run_root: Path, working_folder: Path) -> tuple[Path, ...]:
    """Return the folders that move together with the run root.

    These are the folder that holds the run root, and the folder that the user works in if the run
    root is in it and it is not the user's home. Nobody moves `/`.
    """
    root, here = run_root.resolve(), working_folder.resolve()
    folders = [root.parent]
    if root.is_relative_to(here) and here != Path.home().resolve():
        folders.append(here)
    return tuple(folder for folder in dict.fromkeys(folders) if folder != Path("/"))


def real(text: str) -> str:
    """Return an absolute path without symbolic links in its folders; other text as it is.

    A link that is the file itself stays: `.venv/bin/python` is a link, and its target is not the
    same Python.
    """
    if not text.startswith("/") or "\n" in text:
        return text
    path = Path(text)
    return str(path.parent.resolve() / path.name)


def with_real_paths(document: Mapping[str, object]) -> dict[str, object]:
    """Return a JSON document with `real` applied to every text."""
    return _map_texts(document, real)


def relative(
    document: Mapping[str, object], run_dir: Path, folders: Sequence[Path]
) -> dict[str, object]:
    """Return a JSON document with each path in `folders` relative to the run's folder."""
    here = run_dir.resolve()
    of_user = Path.home().resolve() / USER_FOLDER

    def shorten(text: str) -> str:
        if "//" in text:  # a command with a URL: what makes a path of it would change the URL
            return text
        path = Path(real(text))
        if path.is_relative_to(of_user):
            return text
        if any(path.is_relative_to(folder) for folder in folders):
            return RUN + os.path.relpath(path, here)
        return text

    return _map_texts(document, shorten)


def absolute(document: Mapping[str, object], run_dir: Path) -> dict[str, object]:
    """Return a JSON document with each relative path where the run's folder is now."""
    here = run_dir.resolve()

    def complete(text: str) -> str:
        return os.path.normpath(here / text.removeprefix(RUN)) if text.startswith(RUN) else text

    return _map_texts(document, complete)


def move_paths(document: Mapping[str, object], former: Path, now: Path) -> dict[str, object]:
    """Return a JSON document with each path in one folder moved into another one."""

    def move(text: str) -> str:
        path = Path(real(text))
        return str(now / path.relative_to(former)) if path.is_relative_to(former) else text

    return _map_texts(document, move)


def former_project(run_dir: Path, database: str) -> tuple[Path, Path] | None:
    """Return where the project of an older version's run was, and where it is now.

    That version wrote absolute paths. The configuration in the run's folder tells how long the part
    of them is that belongs to the project.

    Returns:
        None if the configuration names absolute paths, or if the run was not made with it.
    """
    try:
        values = yaml_file.read_mapping(run_dir / "config.yaml")
    except (InputError, UnreadableError):
        return None
    storage = check(
        StorageSection, values.get("storage", {}), source="", path="storage", problems=Problems()
    )
    if storage is None:
        return None
    project = _without_end(Path(database), storage.database)
    now = _without_end(run_dir.resolve().parent, storage.run_root)
    return (project, now) if project and now else None


def _map_texts(document: Mapping[str, object], change: Callable[[str], str]) -> dict[str, object]:
    """Return a JSON document with every text changed; keys stay as they are."""
    return {name: _change(value, change) for name, value in document.items()}


def _change(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return _map_texts(value, change)
    if isinstance(value, Sequence):
        return [_change(item, change) for item in value]
    return value


def _without_end(path: Path, end: str) -> Path | None:
    """Return the folder from which a relative path leads to `path`."""
    parts = Path(os.path.normpath(end)).parts
    if Path(end).expanduser().is_absolute() or ".." in parts or path.parts[-len(parts) :] != parts:
        return None
    return Path(*path.parts[: -len(parts)])
