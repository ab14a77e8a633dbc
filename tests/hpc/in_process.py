"""Call a verb within the tests' own process: a process of its own takes a second to start."""

import contextlib
import importlib
import io
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pytest

from hpc.command_line import cli
from hpc.run.exit_codes import INTERRUPTED
from tests.hpc.forked_tasks import forked_tasks
from tests.waiting import PATIENCE_S

CHANGED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
Done = subprocess.CompletedProcess[str]


def call_verb(
    verb: str,
    arguments: Sequence[object],
    *,
    folder: Path,
    env: Mapping[str, str],
    modules: Path,
) -> Done:
    """Run `hpc VERB ARGUMENTS` and return its exit code, stdout and stderr.

    Args:
        folder: the working folder meanwhile.
        env: the whole environment meanwhile.
        modules: a folder that is first on the module path meanwhile, with its entry points.

    Raises:
        AssertionError: the verb took more than PATIENCE_S seconds.
        KeyboardInterrupt: somebody interrupted the tests.
    """
    words = [str(argument) for argument in arguments]
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(folder),
        _surroundings(env, modules),
        _signal_handlers(),
        forked_tasks(),
        pytest.raises(SystemExit) as end,
    ):
        cli.main(importlib.import_module(f"hpc.{verb}").VERB, words)
    if end.value.code == INTERRUPTED:  # Ctrl-C of whoever runs the tests
        raise KeyboardInterrupt
    assert isinstance(end.value.code, int)
    return Done([verb, *words], end.value.code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _surroundings(env: Mapping[str, str], modules: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(modules)
        for name in os.environ.keys() - env.keys():
            patch.delenv(name)
        for name, value in env.items():
            if os.environ.get(name) != value:
                patch.setenv(name, value)
        yield


@contextlib.contextmanager
def _signal_handlers() -> Iterator[None]:
    """Restore the handlers that a verb sets, and end a verb that hangs."""

    def give_up(number: int, frame: FrameType | None) -> NoReturn:
        raise AssertionError(f"the verb took more than {PATIENCE_S:g} s")

    before = {number: signal.getsignal(number) for number in CHANGED_SIGNALS}
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(int(PATIENCE_S))
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
