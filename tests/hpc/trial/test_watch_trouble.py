"""What is wrong with a service shows while a classifier waits for it."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hpc import api
from hpc.trial import watch_trouble
from hpc.trial.watch_trouble import show_trouble
from pipeline.classifiers import frozen_classifier
from pipeline.classifiers.base import TaskShare
from pipeline.model import Answer, Post
from tests.hpc.cli_bench import Bench
from tests.pipeline.scripted_classifier import KEY, Scripted, ScriptedOptions
from tests.waiting import PATIENCE_S


class Complaining(Scripted):
    """Complains of one thing after the other, goes on with the last one, and answers when let."""

    def __init__(self, log: Path, complaints: list[str]) -> None:
        super().__init__(ScriptedOptions(log=str(log)), TaskShare(stopping=threading.Event()))
        self._complaints = complaints
        self.has_said_all = threading.Event()
        self.may_answer = threading.Event()

    @property
    def trouble(self) -> str:
        if len(self._complaints) > 1:
            return self._complaints.pop(0)
        self.has_said_all.set()
        return self._complaints[0]

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        assert self.may_answer.wait(PATIENCE_S)
        return super().classify(posts)


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_trouble, "PAUSE_S", 0.001)


def test_trouble_is_shown_once_while_it_lasts_and_without_the_key(tmp_path: Path) -> None:
    complaints = ["", f"refused for 2 s by {KEY}", f"refused for 3 s by {KEY}", "HTTP 503", ""]
    classifier, said = Complaining(tmp_path / "log", complaints), list[str]()
    with show_trouble(classifier, "tox", said.append):
        assert classifier.has_said_all.wait(PATIENCE_S)
    assert [line.partition(" by ")[0] for line in said] == ["tox: refused for 2 s", "tox: HTTP 503"]
    assert not any(KEY in line for line in said)


def test_a_trial_shows_trouble_before_it_has_an_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Complaining(bench.folder / "log", ["the service is down"])
    monkeypatch.setattr(frozen_classifier, "create", lambda *_, **__: classifier)
    bench.config(3, classifier={"type": "valence"})

    def say(message: str) -> None:
        if "the service is down" in message:
            classifier.may_answer.set()

    tried = api.try_posts(bench.path, settings=api.TrySettings(posts=3), say=say)
    assert (tried.exit_code, tried.attempts[0].labeled) == (0, 3)
