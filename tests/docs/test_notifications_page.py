"""The scripts of the page about notifications, with what a person would have on the other end."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.docs.pages import read
from tests.docs.test_commands import parser

PAGE = read("docs/how-to/notifications.md")
EVENT = {
    "event": "needs_person",
    "subject": "toxicity: the run needs you",
    "message": "shard 0: $(touch owned) `touch owned`; it\'s \"bad\" 🦋",
    "next": "hpc resubmit --force '/a b/runs/r'",
    "posts": 6,
    "posts_done": 3,
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the page's scripts, which is also the home, and a `mail` that keeps mails."""
    for block in PAGE.blocks:
        if block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
            (tmp_path / block.title).chmod(0o755)
    mail = tmp_path / "bin" / "mail"
    mail.parent.mkdir()
    mail.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\" > mailed\ncat >> mailed\n")
    mail.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{mail.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[bytes]]]:
    """A URL that takes messages, and the messages."""
    posted: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", posted
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_mail_has_the_message_and_the_next_command(home: Path) -> None:
    done = subprocess.run(["./mail.sh"], input=json.dumps(EVENT), text=True, check=False)
    assert done.returncode == 0
    assert (home / "mailed").read_text() == (
        f"-s\n{EVENT['subject']}\nyou@example.edu\n"
        f"{EVENT['message']}\n\n{EVENT['next']}\n\n3 of 6 posts are done."
    )
    assert not (home / "owned").exists()


def test_slack_gets_the_message(home: Path, webhook: tuple[str, list[bytes]]) -> None:
    url, posted = webhook
    (home / ".slack_webhook").write_text(f"{url}\n")
    subprocess.run(["./slack.sh"], input=json.dumps(EVENT), text=True, check=True)
    (text,) = (json.loads(body)["text"] for body in posted)
    assert text == f"*{EVENT['subject']}*\n{EVENT['message']}\n{EVENT['next']}"


def test_the_line_that_tries_it_works_as_printed(home: Path) -> None:
    (line,) = [
        line[2:]
        for block in PAGE.blocks
        for line in block.text.splitlines()
        if line.startswith("$ echo")
    ]
    subprocess.run(["sh", "-c", line], check=True)
    assert "a test" in (home / "mailed").read_text()


def test_the_documented_event_has_the_keys_of_a_real_one() -> None:
    (block,) = [block for block in PAGE.blocks if block.language == "json"]
    event = json.loads(block.text)
    assert event.keys() >= EVENT.keys() | {"run_dir", "shards", "host", "user", "time", "state"}
    verb, *arguments = event["next"].split()[1:]
    parser(verb).parse_args([verb, *arguments])
