"""Identify the code that creates a run, by the git commit of its checkout."""

import subprocess
from pathlib import Path


def git_commit() -> str:
    """Return the checkout's commit, with `+` if files have changed since.

    Empty if there is no git or no checkout.
    """
    folder = Path(__file__).parent
    head = _git(folder, "rev-parse", "HEAD")
    is_tracked = head and _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)
    if not head or not is_tracked:
        return ""
    changes = _git(folder, "status", "--porcelain", "--", "..", "../../pipeline")
    return head + ("+" if changes else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        process = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""
