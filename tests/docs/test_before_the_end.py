"""The page on the end of Perspective, followed against the stand-in for the service."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.docs.pages import ROOT, read
from tests.hpc.cli_bench import Bench, exit_code
from tests.servers.perspective import Fault, PerspectiveServer
from tests.waiting import PATIENCE_S

PAGE = "docs/how-to/before-31-december-2026.md"
CONFIG = "configs/perspective_archive.yaml"
KEY = "AIzaSy-the-key-of-a-reader"
SAMPLE = 4
TEXTS = [f"what a fine day {number}" for number in range(6)]


class Keeper:
    """Somebody who keeps what Perspective says, on this machine and without waiting for a quota."""

    def __init__(self, folder: Path, server: PerspectiveServer) -> None:
        self.bench = Bench(folder)
        self.folder = folder
        config = yaml.safe_load((ROOT / CONFIG).read_text())
        config["classifier"] |= {
            "type": "unpaced_perspective",
            "base_url": server.url,
            "requests_per_minute": None,
        }
        config["cluster"] = {"executor": "local", "max_parallel": 1}
        (folder / "configs").mkdir()
        (folder / CONFIG).write_text(yaml.safe_dump(config))
        with sqlite3.connect(folder / "filtered_posts.db") as database:
            columns = "uri TEXT, text TEXT, preprocessing_timestamp TEXT"
            database.execute(f"CREATE TABLE preprocessed_posts ({columns})")
            rows = [(f"at://{n}", text, "2026-11-01-12:00:00") for n, text in enumerate(TEXTS)]
            database.executemany("INSERT INTO preprocessed_posts VALUES (?, ?, ?)", rows)

    def type(self, command: str) -> int:
        """Type a command; return its exit code."""
        words = command.split()
        if words[0] == "hpc":
            env = {"PERSPECTIVE_API_KEY": KEY}
            return exit_code(self.bench.hpc(words[1], *words[2:], env=env))
        return self.run("bash", "-o", "pipefail", "-c", command).returncode

    def python(self, code: str) -> str:
        """Run a block of Python; return what it printed."""
        done = self.run(sys.executable, "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def count(self, code: str) -> int:
        """Run a block of Python that prints a count as a table of one number."""
        return int(re.findall(r"\d+", self.python(code))[-1])

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )


def commands() -> Iterator[str]:
    """Yield the commands of the page, with a sample that a small backlog has."""
    for block in read(PAGE).blocks:
        if block.language == "console":
            lines = block.text.replace("100000", str(SAMPLE)).splitlines()
            yield from (line[2:] for line in lines if line.startswith("$ "))


def code(mark: str) -> str:
    """Return the block of Python that mentions this."""
    (block,) = (b for b in read(PAGE).blocks if b.language == "python" and mark in b.text)
    return block.text


def test_a_reader_can_keep_what_perspective_says_and_show_later_that_it_is_whole(
    tmp_path: Path,
) -> None:
    with PerspectiveServer(key=KEY) as server:
        keeper = Keeper(tmp_path, server)
        codes = {command: keeper.type(command) for command in commands()}
        assert server.paid == SAMPLE
    (audit,) = (command for command in codes if "audit" in command)
    assert codes == {**dict.fromkeys(codes, 0), audit: 3}
    assert len(list(tmp_path.glob("runs/samples/*.parquet"))) == 1
    (kept,) = tmp_path.glob("runs/*/raw/*.parquet")
    # As a task leaves it that is killed while it publishes.
    left_behind = kept.with_name(f"00000-{'0' * 32}.parquet")
    left_behind.write_bytes(kept.read_bytes())
    assert keeper.count(code("raw/")) == SAMPLE
    assert len(keeper.python(code("receipt")).splitlines()) == 1
    kept.write_bytes(kept.read_bytes()[::-1])
    (verify,) = (command for command in commands() if "--check" in command)
    assert (keeper.type(verify), keeper.type(audit)) == (1, 1)


def test_the_answers_of_a_shard_that_the_end_interrupts_can_be_read(tmp_path: Path) -> None:
    """The service answers three posts, and nothing else any more."""
    gone = Fault(status=410)
    with PerspectiveServer(
        key=KEY, faults=lambda text, _: None if text in TEXTS[:3] else gone
    ) as server:
        keeper = Keeper(tmp_path, server)
        assert keeper.type(f"hpc submit --config {CONFIG}") == 1
    assert list(tmp_path.glob("runs/*/outputs/*")) == []
    assert keeper.count(code("work/")) == 3
