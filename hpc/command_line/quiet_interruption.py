"""Let Ctrl-C end a process without a traceback while no verb is at work."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from hpc.run.exit_codes import INTERRUPTED

_LINE = b"interrupted before anything was done\n"


def before_a_verb() -> None:
    """Let Ctrl-C end this process in a line, until a verb says what it leaves behind.

    On a slow file system, the imports of a verb take seconds. An exception there is a traceback, or
    an ImportError where a compiled module is being loaded.
    """

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        os.write(sys.stderr.fileno(), _LINE)
        os._exit(INTERRUPTED)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)


def after_a_verb() -> None:
    """Let Ctrl-C end this process at once: what is left to do is to clean up memory."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
