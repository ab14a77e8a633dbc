"""A sequence classifier that runs in the task itself: toxic-bert and its kin, from the Hugging Face
hub or a folder.

This module is imported on login nodes too, which may have no torch: what needs it is imported when
a task makes its classifier.
"""

import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.transformers import batching, label_columns, model_folder
from pipeline.classifiers.transformers.label_columns import TRUNCATED
from pipeline.classifiers.transformers.model_folder import BadModel
from pipeline.classifiers.transformers.options import MOST_TOKENS, TransformersOptions
from pipeline.config.input_files import InputFiles
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, Post

if TYPE_CHECKING:
    from pipeline.classifiers.transformers.loading import Loaded
    from pipeline.classifiers.transformers.sequence_model import PendingScores, Tokens

# So many batches' tokens are held to be sorted by length, which leaves some 5 % of padding
# (benchmarks/local_model.md). More would be less, but what is held is in hand: after a crash, each
# of these posts is asked alone.
POOL_BATCHES = 16
# Posts whose tokens are made at once, and ahead of those that are in the pool.
CHUNK = 128
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class _Read:
    """A post as the model reads it."""

    uri: str
    tokens: "Tokens"

    @property
    def length(self) -> int:
        return len(self.tokens.ids)


_UnderWay: TypeAlias = tuple[list[_Read], "PendingScores"]


class TransformersClassifier(Classifier[TransformersOptions]):
    """One probability a label of the model, `label` where they exclude one another, and whether the
    post was longer than the model reads."""

    options_type = TransformersOptions

    @classmethod
    def freeze(cls, options: TransformersOptions, inputs: InputFiles) -> TransformersOptions:
        if options.revision is not None:
            _check_hub(options.model, options.revision, inputs)
            return options
        tried = inputs.candidates(options.model)
        folder = next(filter(Path.is_dir, tried), None)
        if folder is None:
            inputs.report(
                "model",
                f"there is no folder {' or '.join(map(str, tried))}; for a model of the hub, "
                "classifier.revision says which commit",
            )
            return options
        fingerprint = _fingerprint(folder, options, inputs)
        return replace(options, model=str(folder), revision=fingerprint)

    def __init__(self, options: TransformersOptions, share: TaskShare) -> None:
        loaded = _load(options, share)
        self.model_at_work = loaded.model
        self._labels = loaded.labels
        self.columns = loaded.labels.columns
        self.model = loaded.name
        given = options.max_tokens_per_batch
        self._most_tokens: int = given or MOST_TOKENS[loaded.model.device]

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        under_way: deque[_UnderWay] = deque()
        for batch in self.batches(posts):
            for part in self._started(batch):
                under_way.append(part)
                if len(under_way) > self.model_at_work.ahead:
                    yield from self._answers(*under_way.popleft())
        while under_way:
            yield from self._answers(*under_way.popleft())

    def batches(self, posts: Sequence[Post]) -> Iterator[list[_Read]]:
        """All of `posts`, as they are computed."""
        return batching.batches(
            self._tokenised(posts),
            max_tokens=lambda: self._most_tokens,
            pool_tokens=lambda: POOL_BATCHES * self._most_tokens,
        )

    def _tokenised(self, posts: Sequence[Post]) -> Iterator[_Read]:
        """In their order. While batches are computed, the next posts' tokens are made; the posts
        are taken in this thread, as their being in hand is written down in it."""
        waiting = iter(posts)
        tokeniser = ThreadPoolExecutor(1, thread_name_prefix="tokenise")

        def next_chunk() -> Future[list[_Read]] | None:
            chunk = list(islice(waiting, CHUNK))
            return tokeniser.submit(self._read, chunk) if chunk else None

        try:
            ahead = next_chunk()
            while ahead:
                chunk = ahead.result()
                ahead = next_chunk()
                yield from chunk
        finally:
            tokeniser.shutdown(wait=False, cancel_futures=True)

    def _read(self, chunk: list[Post]) -> list[_Read]:
        tokens = self.model_at_work.tokenize([post.text for post in chunk])
        return [_Read(post.uri, one) for post, one in zip(chunk, tokens, strict=True)]

    def _started(self, batch: list[_Read]) -> Iterator[_UnderWay]:
        """The batch, begun; where memory lacks, in parts. What is as large as what did not fit is
        not tried again, and the batches that are made from then on are as small as these parts."""
        model = self.model_at_work
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            tokens = part[0].length
            if len(part) == 1 or len(part) * tokens <= self._most_tokens:
                started = model.start([post.tokens for post in part])
                if started is not None:
                    yield part, started
                    continue
                if len(part) == 1:
                    raise self._too_long(tokens)
                self._most_tokens = len(part) * tokens // 2
            half = len(part) // 2
            waiting += [part[half:], part[:half]]

    def _too_long(self, tokens: int) -> TaskError:
        model = self.model_at_work
        more = {"cuda": "a GPU with more (cluster.gres)", "cpu": "more of it (cluster.mem_gb)"}
        return TaskError(
            Cause.OUT_OF_MEMORY,
            f"one post of {tokens} tokens does not fit {model.memory}: {more[model.device]}, "
            "or a smaller classifier.max_length or dtype",
        )

    def _answers(self, batch: list[_Read], started: "PendingScores") -> Iterator[Answer]:
        for post, found in zip(batch, self.model_at_work.probabilities(started), strict=True):
            facts = {TRUNCATED: post.tokens.truncated}
            if post.tokens.empty:
                yield Answer(post.uri, reason="no_tokens", facts=facts)
            elif found is None:
                yield Answer(post.uri, reason="invalid_answer", facts=facts)
            else:
                yield Answer(post.uri, self._labels.values(found), facts=facts)


def _check_hub(name: str, revision: str, inputs: InputFiles) -> None:
    if not _HUB_NAME.fullmatch(name):
        inputs.report(
            "model", f"should be a name on the hub, where a revision is given, not {name!r}"
        )
    if not _COMMIT.fullmatch(revision):
        inputs.report(
            "revision",
            "should be a commit of 40 hex digits, which stays what it is, not "
            f"{revision!r} (git ls-remote https://huggingface.co/{name} HEAD tells the newest)",
        )


def _fingerprint(folder: Path, options: TransformersOptions, inputs: InputFiles) -> str | None:
    """Return the hash of the folder's files; None, and a problem, where it cannot be used."""
    try:
        label_columns.of(model_folder.describe(folder, options.multi_label), options.labels)
        return f"sha256:{model_folder.fingerprint(folder)}"
    except BadModel as bad:
        inputs.report("model", f"{folder} cannot be used: {bad}")
    except OSError as error:
        inputs.report("model", f"{error.filename}: {error.strerror}")
    return None


def _load(options: TransformersOptions, share: TaskShare) -> "Loaded":
    try:
        loading = import_module("pipeline.classifiers.transformers.loading")
    except ImportError as error:
        raise TaskError(
            Cause.REFUSED,
            f"classifier.type transformers needs more on the compute node ({error}): "
            "pip install 'hpc-batch-classification[transformers]' in the environment of "
            "cluster.python",
        ) from None
    loaded: Loaded = loading.load(options, os.environ, share.parallel_tasks)
    return loaded
