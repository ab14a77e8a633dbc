"""Observe the shell that a project is started from: environments, modules, keys, and git."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hpc.executors.slurm.environment import ShellDefaults, shell_defaults


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What the shell, and the project's folder, say."""

    has_slurm: bool
    """Whether Slurm's sbatch is on PATH."""
    venv: str = ""
    """The folder of the active virtual environment; '' if none is active."""
    conda: str = ""
    """The folder of the active conda environment; '' if none is active."""
    conda_program: str = ""
    """The path of conda or mamba; '' if the shell does not name it."""
    modules: tuple[str, ...] = ()
    """The environment modules that are loaded, in order."""
    variables: frozenset[str] = frozenset()
    """The names of all variables that are set to something."""
    base_url: str = ""
    """The address in OPENAI_BASE_URL."""
    jobs: ShellDefaults = field(default_factory=ShellDefaults)
    """Where the shell wants jobs to run."""
    repository: Path | None = None
    """The git repository that the project's folder is in; None if it is in none."""


def observe_site(folder: Path, shell: Mapping[str, str]) -> Site:
    """Return what the shell and the project's folder say.

    Args:
        folder: the project's folder, which may not exist yet.
        shell: the environment variables.
    """
    has_modules = any(shell.get(name) for name in ("LMOD_CMD", "MODULES_CMD", "MODULESHOME"))
    loaded = shell.get("LOADEDMODULES", "") if has_modules else ""
    above = [each for each in (folder, *folder.parents) if (each / ".git").exists()]
    return Site(
        has_slurm=shutil.which("sbatch") is not None,
        venv=shell.get("VIRTUAL_ENV", ""),
        conda=shell.get("CONDA_PREFIX", ""),
        conda_program=shell.get("CONDA_EXE", "") or shell.get("MAMBA_EXE", ""),
        modules=tuple(filter(None, loaded.split(":"))),
        variables=frozenset(name for name, value in shell.items() if value),
        base_url=shell.get("OPENAI_BASE_URL", ""),
        jobs=shell_defaults(shell),
        repository=above[0] if above else None,
    )
