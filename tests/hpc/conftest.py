"""A working folder, and verbs within this process for what they refuse: a process takes half a
second to start."""

import importlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpc import cli
from tests.hpc.cli_bench import Bench, Done

Here = Callable[..., Done]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def here(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Here]:
    """`here(verb, *arguments)` in the working folder; what it printed and its exit code."""
    monkeypatch.chdir(bench.folder)
    monkeypatch.syspath_prepend(bench.site)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(verb: str, *arguments: object) -> Done:
        given = list(map(str, arguments))
        with pytest.raises(SystemExit) as end:
            cli.main(importlib.import_module(f"hpc.{verb}").VERB, given)
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Done(given, end.value.code, out, err)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)
