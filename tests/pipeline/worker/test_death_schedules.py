"""Whatever deaths a shard's attempts die: one row a post, and only deadly posts are set aside."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.base import Classifier
from pipeline.config.section import Section
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Column, JsonObject, Post
from pipeline.run_files import output
from pipeline.run_files.checkpoint import Checkpoint
from pipeline.run_files.manifest import work_path
from pipeline.worker import process
from pipeline.worker.crash_journal import CrashJournal
from tests.pipeline.run_builders import make_run, order, posts, uri

COUNT = 12


class Killed(BaseException):
    """In the place of SIGKILL: from here on nothing is written or removed any more."""


class Doomed(Classifier):
    """Takes `in_flight` posts at once. Dies at deadly ones, as `deaths` says, and ends when it was
    asked `ends_at` posts, by an end that no post is to blame for."""

    columns = (Column("mood", "text"),)
    model = "doomed"

    @classmethod
    def freeze(cls, section: Section) -> JsonObject:
        return {}

    def __init__(
        self, deaths: dict[str, BaseException], in_flight: int, end: BaseException | None, at: int
    ) -> None:
        self.deaths = deaths
        self.in_flight = in_flight
        self.end, self.ends_at = end, at
        self.asked = 0

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        waiting = iter(posts)
        hands: list[Post] = []
        while True:
            while len(hands) < self.in_flight and (post := next(waiting, None)):
                hands.append(post)
            if not hands:
                return
            post = hands.pop()
            self.asked += 1
            if self.end and self.asked == self.ends_at:
                raise self.end
            if post.uri in self.deaths:
                raise self.deaths[post.uri]
            yield Answer(post.uri, {"mood": post.text})


@pytest.fixture(scope="module", autouse=True)
def as_it_was() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def live(patch: pytest.MonkeyPatch, run_dir: Path, attempt: int, crashed: str, one: Doomed) -> bool:
    """One attempt; True where it ended well. Killed, it leaves all as it is at that moment."""
    given_order = replace(order(run_dir, attempt=attempt), crashed=crashed)
    dead = [False]

    def unless_dead(patched: pytest.MonkeyPatch, kind: type, name: str) -> None:
        real = getattr(kind, name)

        def method(self: Any, *arguments: Any) -> Any:
            dead[0] = dead[0] or any(isinstance(each, Killed) for each in arguments)
            return None if dead[0] else real(self, *arguments)

        patched.setattr(kind, name, method)

    def classify(given_posts: Sequence[Post]) -> Iterator[Answer]:
        try:
            yield from Doomed.classify(one, given_posts)
        except Killed:
            dead[0] = True
            raise

    with patch.context() as patched:
        patched.setattr(process, "create", lambda *_: one)
        unless_dead(patched, Checkpoint, "flush")
        unless_dead(patched, CrashJournal, "delete")
        patched.setattr(one, "classify", classify)
        try:
            process.run_task(given_order)
        except (SystemExit, Killed):
            return False
        return True


OWN = TaskError(Cause.CRASHED, "HTTP 500 (6 times)", blames_post=True)
DEATHS = st.sampled_from([Killed(), RuntimeError("deadly"), OWN])
ENDS = st.sampled_from(
    [
        ("crashed", TaskError(Cause.CRASHED, "the service is down")),
        ("node", Killed()),
        ("timeout", Killed()),
        None,
    ]
)


@given(
    deadly=st.dictionaries(st.integers(0, COUNT - 1), DEATHS, max_size=3),
    in_flight=st.integers(1, 5),
    rows=st.sampled_from([1, 3, 100]),
    ends=st.lists(st.tuples(ENDS, st.integers(1, COUNT)), max_size=4),
)
def test_every_post_ends_with_one_row_and_only_the_deadly_ones_are_set_aside(
    tmp_path_factory: pytest.TempPathFactory,
    deadly: dict[int, BaseException],
    in_flight: int,
    rows: int,
    ends: list[tuple[tuple[str, BaseException] | None, int]],
) -> None:
    deaths = {uri(row): error for row, error in deadly.items()}
    run_dir, run = make_run(tmp_path_factory.mktemp("run"), posts(COUNT), checkpoint_rows=rows)
    crashed: list[int] = []
    most = len(ends) + 2 * len(deadly) + 1
    attempt = 0
    with pytest.MonkeyPatch.context() as patch:
        while not output.verify(run_dir, run, 0).verified:
            attempt += 1
            assert attempt <= most
            end, at = ends[attempt - 1] if attempt <= len(ends) else (None, 0)
            one = Doomed(deaths, in_flight, end[1] if end else None, at)
            was = ",".join(map(str, crashed))
            if live(patch, run_dir, attempt, was, one):
                break
            ended_so = end is not None and one.asked == at
            if not ended_so or (end and end[0] == "crashed"):
                crashed.append(attempt)
    _, table = output.read(run_dir, run, 0)
    assert table is not None
    assert table["uri"].to_pylist() == [uri(row) for row in range(COUNT)]
    reasons = dict(zip(range(COUNT), table["reason"].to_pylist(), strict=True))
    set_aside = {row for row, reason in reasons.items() if reason}
    assert set_aside == deadly.keys()
    assert all(reasons[row].startswith("poison: the task died at this post") for row in set_aside)
    assert list(work_path(run_dir, 0).iterdir()) == []
