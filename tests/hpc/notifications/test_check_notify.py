"""`hpc check` looks whether the command of `notify` is there, and sends nothing."""

from pathlib import Path

import pytest

from hpc.checks.finding import Level
from hpc.checks.notify import check_notify
from pipeline.config.notify_settings import NotifySettings


@pytest.mark.parametrize(
    ("command", "level"),
    [
        ("./mail.sh", Level.OK),
        (("./mail.sh", "--to", "ana"), Level.OK),
        ("cat > got", Level.OK),
        ("cd /tmp; ./whatever", Level.OK),
        ('"$HOME/bin/x" | mail', Level.OK),
        ("~/mail.sh", Level.OK),
        (("sh", "-c", "cat"), Level.OK),
        ("./slack.sh", Level.WARNING),
        ("no-such-program -x", Level.WARNING),
        (("no-such-program",), Level.WARNING),
        (("./mail.sh --to ana",), Level.WARNING),
        ("./not-executable", Level.WARNING),
        ("cat 'unclosed", Level.WARNING),
        ("if true; then cat", Level.WARNING),
    ],
)
def test_a_command_that_is_not_there_is_a_warning(
    command: str | tuple[str, ...], level: Level, tmp_path: Path
) -> None:
    (tmp_path / "mail.sh").write_text("#!/bin/sh\ntouch sent\n")
    (tmp_path / "mail.sh").chmod(0o755)
    (tmp_path / "not-executable").touch(mode=0o644)
    (finding,) = check_notify(NotifySettings(command=command), tmp_path)
    assert (finding.level, bool(finding.remedy)) == (level, level is Level.WARNING)
    assert not (tmp_path / "sent").exists()
    assert not (tmp_path / "got").exists()


def test_without_a_command_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert check_notify(NotifySettings(), tmp_path) == []
    (finding,) = check_notify(NotifySettings(command="cat"), tmp_path / "not-there-yet")
    assert finding.level is Level.OK
