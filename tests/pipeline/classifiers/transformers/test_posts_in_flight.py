"""How many posts a classifier takes in advance, and what it does meanwhile."""

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import pytest

from pipeline.classifiers.transformers import classifier as transformers_classifier
from pipeline.model import Post
from tests.pipeline.classifiers.classifier_setup import posts

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")


from tests.pipeline.classifiers.transformers.loaded_model import TEXTS, load


class WatchedPosts(Sequence[Post]):
    """Posts as the worker hands them out: to one thread. It counts those that were taken."""

    def __init__(self, posts: list[Post], stop_after: int | None = None) -> None:
        self.posts = posts
        self.taken = 0
        self._stop_after = stop_after

    def __len__(self) -> int:
        return len(self.posts)

    @overload
    def __getitem__(self, index: int) -> Post: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Post]: ...
    def __getitem__(self, index: int | slice) -> Post | Sequence[Post]:
        raise AssertionError("taken out of order")

    def __iter__(self) -> Iterator[Post]:
        for post in self.posts[: self._stop_after]:
            assert threading.current_thread() is threading.main_thread()
            self.taken += 1
            yield post


def test_the_posts_in_flight_are_limited_by_their_tokens(
    toxic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are a pool of 16 batches of 40 tokens, a batch, and two chunks tokenized in advance."""
    monkeypatch.setattr(transformers_classifier, "CHUNK", 4)
    texts = [f"what a fine day {number % 10}" for number in range(400)]  # of 7 tokens each
    watched = WatchedPosts(posts(*texts))
    in_flight = [
        watched.taken - answered
        for answered, _ in enumerate(load(toxic, max_tokens_per_batch=40).classify(watched))
    ]
    assert len(in_flight) == 400
    assert max(in_flight) <= 16 * 40 / 7 + 1 + 5 + 2 * 4
    assert max(in_flight) > 16 * 40 / 7


def test_the_next_posts_are_tokenized_while_a_batch_is_computed(
    toxic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch waits for the sixth chunk.

    The pool needs five chunks of 4: it is full with 19 posts of 7 tokens.
    """
    monkeypatch.setattr(transformers_classifier, "CHUNK", 4)
    classifier = load(toxic, max_tokens_per_batch=8)
    model, done = classifier.sequence_model, threading.Event()
    tokenize, chunks = model.tokenize, 0

    def counting(texts: Sequence[str]) -> Any:
        nonlocal chunks
        tokens = tokenize(texts)
        chunks += 1
        if chunks == 6:
            done.set()
        return tokens

    monkeypatch.setattr(model, "tokenize", counting)
    model.network.register_forward_pre_hook(lambda *_: None if done.wait(60) else 1 / 0)
    texts = [f"what a fine day {number % 10}" for number in range(40)]
    assert len(list(classifier.classify(posts(*texts)))) == 40


def test_all_posts_taken_before_a_stop_are_answered(toxic: Path) -> None:
    watched = WatchedPosts(posts(*TEXTS), stop_after=20)
    assert {answer.uri for answer in load(toxic).classify(watched)} == {
        post.uri for post in watched.posts[:20]
    }


def test_no_posts_give_no_answers(toxic: Path) -> None:
    assert list(load(toxic).classify([])) == []
