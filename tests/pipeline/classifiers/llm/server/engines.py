"""Engines of the misbehaving program for tests, and the processes that they leave."""

import json
import sys
from pathlib import Path
from typing import Any

from tests.pipeline.command_lines import command_lines

ROOT = Path(__file__).parents[5]


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
    return {pid: words for pid, words in command_lines().items() if str(name) in words}
