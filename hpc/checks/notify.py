"""Look whether the command of `notify` is there. It is not run: it would send a message."""

import os
import re
import shlex
import subprocess
from pathlib import Path

from hpc.checks.finding import Finding, Part, ok, warning
from pipeline.config.notify_settings import NotifySettings
from pipeline.terminal import one_line

_PATIENCE_S = 10.0
_PROGRAM = re.compile(r"[\w./+-]+")


def check_notify(settings: NotifySettings, folder: Path) -> list[Finding]:
    """Return what is to say about the command; nothing if there is none.

    Args:
        settings: the section `notify`.
        folder: the folder in which the command will run.
    """
    if settings.command is None:
        return []
    shown = settings.command if isinstance(settings.command, str) else shlex.join(settings.command)
    if problem := _find_problem(settings.command, folder):
        remedy = "correct notify.command, or its file; nobody is notified otherwise"
        return [warning(Part.NOTIFY, problem, remedy)]
    events = ", ".join(map(str, settings.events)) or "no event"
    return [ok(Part.NOTIFY, f"{one_line(shown, 80)} runs on these events: {events}")]


def _find_problem(command: str | tuple[str, ...], folder: Path) -> str:
    """Return why the command would fail; '' if nothing shows that."""
    if not folder.is_dir():
        folder = Path("/")
    if isinstance(command, str):
        syntax = _sh(folder, "-n", "-c", command)
        if syntax.returncode:
            return f"sh rejects the command: {one_line(syntax.stderr)}"
        # What begins with a variable or a bracket is the shell's to understand.
        words = command.split(maxsplit=1)
        program = words[0] if _PROGRAM.fullmatch(words[0]) else ""
    else:
        program = command[0]
    if not program or _can_be_run(program, folder):
        return ""
    return f"{program} is not a program that can be run in {folder}"


def _can_be_run(program: str, folder: Path) -> bool:
    if "/" in program:
        path = folder / program
        return path.is_file() and os.access(path, os.X_OK)
    # The shell has programs of its own.
    return _sh(folder, "-c", 'command -v -- "$1"', "sh", program).returncode == 0


def _sh(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
