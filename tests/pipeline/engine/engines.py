"""Engines of the misbehaving program for tests, and the processes that they leave."""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


def program(folder: Path, *words: str) -> dict[str, Any]:
    """`classifier.server` of a program whose starts do as the words say, one by one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "script").write_text(" ".join(words))
    command = [sys.executable, "-m", "tests.servers.engine_program"]
    return {
        "command": [*command, "--port", "{port}", "--folder", str(folder)],
        "env": {"PYTHONPATH": str(ROOT)},
    }


def starts(folder: Path) -> list[dict[str, Any]]:
    """What each start saw: pid, port, further arguments, environment."""
    path = folder / "starts"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def alive(name: Path) -> list[list[str]]:
    """Command lines of the processes that carry this name, zombies not among them."""
    return list(alive_by_pid(name).values())


def alive_by_pid(name: Path) -> dict[int, list[str]]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if str(name) in words:
            found[int(path.parent.name)] = words
    return found
