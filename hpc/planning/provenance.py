"""Which code makes a run: the project's version and, in a checkout, its git commit."""

import subprocess
from pathlib import Path


def git_commit() -> str:
    """The checkout's commit, `+` after it where files have changed since; empty where there is no
    git or no checkout."""
    folder = Path(__file__).parent
    head = _git(folder, "rev-parse", "HEAD")
    tracked = head and _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)
    if not head or not tracked:
        return ""
    return head + ("+" if _git(folder, "status", "--porcelain", "--", ".", "../pipeline") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
