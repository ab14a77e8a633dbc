"""However a shard's attempts die, every post gets one row and only deadly posts are set aside."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.base import Classifier
from pipeline.classifiers.options import Options
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Column, Post
from pipeline.run_files import output
from pipeline.run_files.checkpoints.checkpoint import Checkpoint
from pipeline.run_files.manifest import work_path
from pipeline.worker import process
from pipeline.worker.crash_journal import CrashJournal
from tests.pipeline.run_builders import make_run, order, posts, uri

pytestmark = pytest.mark.usefixtures("_restored_signals")
COUNT = 12


class Killed(BaseException):
    """Stands for SIGKILL: from here on nothing is written or deleted."""


class Doomed(Classifier[Options]):
    """Takes `in_flight` posts at once and dies at deadly ones, as `deaths` says.

    Having been asked about `ends_at` posts, it ends in a way that no post is to blame for.
    """

    columns = (Column("mood", "text"),)
    model = "doomed"

    def __init__(
        self, deaths: dict[str, BaseException], in_flight: int, end: BaseException | None, at: int
    ) -> None:
        self.deaths = deaths
        self.in_flight = in_flight
        self.end, self.ends_at = end, at
        self.asked = 0
        self.answered: list[str] = []

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        waiting = iter(posts)
        taken: list[Post] = []
        while True:
            while len(taken) < self.in_flight and (post := next(waiting, None)):
                taken.append(post)
            if not taken:
                return
            post = taken.pop()
            self.asked += 1
            if self.end and self.asked == self.ends_at:
                raise self.end
            if post.uri in self.deaths:
                raise self.deaths[post.uri]
            self.answered.append(post.uri)
            yield Answer(post.uri, {"mood": f"{post.text}, said {post.uri}"})


def run_attempt(
    patch: pytest.MonkeyPatch, run_dir: Path, attempt: int, crashed: str, classifier: Doomed
) -> bool:
    """Run one attempt; return whether it succeeded. If killed, it leaves all as it is then."""
    work_order = replace(order(run_dir, attempt=attempt), crashed=crashed)
    dead = [False]

    def only_while_alive(patched: pytest.MonkeyPatch, kind: type, name: str) -> None:
        real = getattr(kind, name)

        def method(self: Any, *arguments: Any) -> Any:
            dead[0] = dead[0] or any(isinstance(each, Killed) for each in arguments)
            return None if dead[0] else real(self, *arguments)

        patched.setattr(kind, name, method)

    def classify(posts_to_label: Sequence[Post]) -> Iterator[Answer]:
        try:
            yield from Doomed.classify(classifier, posts_to_label)
        except Killed:
            dead[0] = True
            raise

    with patch.context() as patched:
        patched.setattr(process, "create", lambda *_, source: classifier)
        only_while_alive(patched, Checkpoint, "flush")
        only_while_alive(patched, CrashJournal, "delete")
        patched.setattr(classifier, "classify", classify)
        try:
            process.run_task(work_order)
        except (SystemExit, Killed):
            return False
        return True


POSTS_OWN_FAULT = TaskError(Cause.CRASHED, "HTTP 500 (6 times)", blames_post=True)
DEATHS = st.sampled_from([Killed(), RuntimeError("deadly"), POSTS_OWN_FAULT])
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
    texts=st.none() | st.lists(st.integers(0, COUNT // 2), min_size=COUNT, max_size=COUNT),
)
def test_every_post_gets_one_row_and_only_deadly_ones_are_set_aside(
    tmp_path_factory: pytest.TempPathFactory,
    deadly: dict[int, BaseException],
    in_flight: int,
    rows: int,
    ends: list[tuple[tuple[str, BaseException] | None, int]],
    texts: list[int] | None,
) -> None:
    """With `texts`, posts of the same text share the answer of the first of them."""
    numbers = texts or list(range(COUNT))
    first = [numbers.index(number) for number in numbers]
    deadly = {row: error for row, error in deadly.items() if first[row] == row}
    deaths = {uri(row): error for row, error in deadly.items()}
    rows_of_shard = [
        post._replace(text=f"what a fine day {number}")
        for post, number in zip(posts(COUNT), numbers, strict=True)
    ]
    run_dir, run = make_run(
        tmp_path_factory.mktemp("run"),
        rows_of_shard,
        checkpoint_rows=rows,
        ask_each_text_once=texts is not None,
    )
    paid: list[str] = []
    crashed: list[int] = []
    most = len(ends) + 2 * len(deadly) + 1
    attempt = 0
    with pytest.MonkeyPatch.context() as patch:
        while not output.verify(run_dir, run, 0).verified:
            attempt += 1
            assert attempt <= most
            end, at = ends[attempt - 1] if attempt <= len(ends) else (None, 0)
            classifier = Doomed(deaths, in_flight, end[1] if end else None, at)
            was = ",".join(map(str, crashed))
            succeeded = run_attempt(patch, run_dir, attempt, was, classifier)
            paid += classifier.answered
            if succeeded:
                break
            ended_so = end is not None and classifier.asked == at
            if not ended_so or (end and end[0] == "crashed"):
                crashed.append(attempt)
    _, table = output.read(run_dir, run, 0)
    assert table is not None
    assert table["uri"].to_pylist() == [uri(row) for row in range(COUNT)]
    reasons = dict(zip(range(COUNT), table["reason"].to_pylist(), strict=True))
    set_aside = {row for row, reason in reasons.items() if reason}
    assert set_aside == {row for row in range(COUNT) if first[row] in deadly}
    assert len(paid) == len(set(paid))
    assert table["mood"].to_pylist() == [
        None if row in set_aside else f"what a fine day {numbers[row]}, said {uri(first[row])}"
        for row in range(COUNT)
    ]
    assert table["copied_from"].to_pylist() == [
        None if first[row] == row else uri(first[row]) for row in range(COUNT)
    ]
    assert all(reasons[row].startswith("poison: the task died at this post") for row in set_aside)
    assert list(work_path(run_dir, 0).iterdir()) == []
