"""Propose the lines that load the user's environment on a node. Pure."""

import re

from hpc.initialize.site import Site


def propose_setup(site: Site) -> tuple[str, ...]:
    """Return lines of bash: the modules that are loaded, and the environment that is active.

    A path or a module that cannot be written on one line is left out.
    """
    lines = []
    modules = [name for name in site.modules if re.fullmatch(r"[\w./+@=-]+", name)]
    if modules:
        lines += ["module purge", f"module load {' '.join(modules)}"]
    if site.venv and _is_one_line(site.venv):
        lines.append(f"source {_shell_quoted(f'{site.venv}/bin/activate')}")
    elif site.conda and site.conda_program and _is_one_line(site.conda + site.conda_program):
        program = _shell_quoted(site.conda_program)
        lines.append(f'eval "$({program} shell.bash hook)"')
        lines.append(f"conda activate {_shell_quoted(site.conda)}")
    return tuple(lines)


def _is_one_line(text: str) -> bool:
    return len(text.splitlines()) == 1 and text.isprintable()


def _shell_quoted(text: str) -> str:
    """Return a word as bash reads it."""
    if re.fullmatch(r"[\w@%+=:,./-]+", text, re.ASCII):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"
