"""Type answers at a verb that runs on a terminal of its own."""

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import PATIENCE_S

_PROMPT = re.compile(rb"\n[A-Za-z ]+(?: \[.*\])?: \Z")
_MOST_PROMPTS = 40
CTRL_C, CTRL_D = "\x03", "\x04"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialog:
    """What was shown, and how it ended."""

    screen: str
    code: int
    asked: tuple[str, ...]
    """What stood before each answer, without the proposal."""


def talk(
    arguments: Sequence[str], answers: Sequence[str], *, folder: Path, env: Mapping[str, str]
) -> Dialog:
    """Run `hpc init ARGUMENTS`, and type an answer at each prompt; Enter once there are no more.

    Ctrl-C and Ctrl-D are typed without Enter.
    """
    terminal, program_side = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "hpc.init", *arguments],
        cwd=folder,
        env=env,
        stdin=program_side,
        stdout=program_side,
        stderr=program_side,
        start_new_session=True,
        preexec_fn=_take_terminal,  # so that Ctrl-C reaches it
    ) as process:
        os.close(program_side)
        waiting = list(answers)
        shown, asked = b"", []
        while chunk := _read_or_kill(terminal, process):
            shown += chunk
            if prompt := _PROMPT.search(shown.replace(b"\r", b"")):
                asked.append(prompt[0].decode().strip().partition(" [")[0].rstrip(":"))
                answer = waiting.pop(0) if waiting else ""
                if len(asked) > _MOST_PROMPTS:
                    answer = CTRL_C
                ending = "" if answer in (CTRL_C, CTRL_D) else "\n"
                os.write(terminal, f"{answer}{ending}".encode())
                shown += b" "  # it is answered
        os.close(terminal)
    screen = shown.decode(errors="replace").replace("\r", "")
    return Dialog(screen=screen, code=process.returncode, asked=tuple(asked))


def _take_terminal() -> None:
    os.close(os.open(os.ttyname(0), os.O_RDWR))


def _read_or_kill(terminal: int, process: subprocess.Popen[bytes]) -> bytes:
    try:
        return _read(terminal)
    except TimeoutError:
        process.kill()
        raise


def _read(terminal: int) -> bytes:
    if not select.select([terminal], [], [], PATIENCE_S)[0]:
        raise TimeoutError(f"nothing was shown for {PATIENCE_S:.0f} s")
    try:
        return os.read(terminal, 65536)
    except OSError:  # the program has ended
        return b""
