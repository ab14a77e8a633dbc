"""Label posts with a sequence classifier in the task itself, such as toxic-bert.

The model comes from the Hugging Face hub or from a folder. This module is imported on login nodes
too, which may have no torch: what needs torch is imported when a task creates its classifier.
"""

import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
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

# The tokens of this many batches are held to be sorted by length, which leaves about 5% of padding
# (benchmarks/local_model.md). Holding more would leave less, but posts that are held count as in
# flight: after a crash, each of them is labeled alone.
POOL_BATCHES = 16
# Posts that are tokenized at once, ahead of those in the pool.
CHUNK = 128
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# What the revision of a model in a folder begins with.
_HASH = "sha256:"


@dataclass(frozen=True, slots=True)
class _TokenizedPost:
    """A post as the model reads it."""

    uri: str
    tokens: "Tokens"

    @property
    def length(self) -> int:
        return len(self.tokens.ids)


_PendingBatch: TypeAlias = tuple[list[_TokenizedPost], "PendingScores"]


class TransformersClassifier(Classifier[TransformersOptions]):
    """Gives one probability per label, and whether the post was longer than the model reads.

    If the labels exclude one another, the column `label` has the most probable one.
    """

    options_type = TransformersOptions

    @classmethod
    def freeze(cls, options: TransformersOptions, inputs: InputFiles) -> TransformersOptions:
        """Check the model's name and commit, or its folder, whose files are hashed."""
        if options.revision is not None:
            _check_hub(options.model, options.revision, inputs)
            return options
        return cls._freeze_folder(options, inputs)

    @classmethod
    def refreeze(
        cls, options: TransformersOptions, before: TransformersOptions, inputs: InputFiles
    ) -> TransformersOptions:
        """Find the model again where `model` was corrected: it has to be the same one."""
        if options.model == before.model:
            return options
        if not (options.revision or "").startswith(_HASH):
            return cls.freeze(options, inputs)
        found = cls._freeze_folder(replace(options, revision=None), inputs)
        if found.revision not in (None, options.revision):
            inputs.report("model", f"{found.model} holds another model than the run's")
        return found

    @classmethod
    def _freeze_folder(
        cls, options: TransformersOptions, inputs: InputFiles
    ) -> TransformersOptions:
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

    @classmethod
    def check(cls, options: TransformersOptions, inputs: InputFiles) -> None:
        """Look for the model's folder again, if it is one of yours."""
        folder = Path(options.model)
        if folder.is_absolute() and not folder.is_dir():
            inputs.report("model", f"there is no folder {folder}")

    @classmethod
    def check_on_node(cls, options: TransformersOptions, inputs: InputFiles) -> None:
        """Look for the model's files, and for the packages that load them."""
        cls.check(options, inputs)
        for package in ("torch", "transformers", "safetensors"):
            if find_spec(package) is None:
                inputs.report("type", f"the package {package} is not installed for this Python")
        folder = Path(options.model)
        try:
            if folder.is_absolute() and folder.is_dir():
                model_folder.describe(folder, options.multi_label)
        except BadModel as problem:
            inputs.report("model", f"{folder} cannot be used: {problem}")
        except OSError as error:
            inputs.report("model", f"{error.filename}: {error.strerror}")

    @classmethod
    def starts_slowly(cls, options: TransformersOptions) -> bool:
        """Return True: a model may take minutes to load, and the memory of a login node."""
        return True

    def __init__(self, options: TransformersOptions, share: TaskShare) -> None:
        """Load the model and test it.

        Raises:
            TaskError: the model or its device cannot be used.
        """
        loaded = _load(options, share)
        self.sequence_model = loaded.model
        self._labels = loaded.labels
        self.columns = loaded.labels.columns
        self.model = loaded.name
        configured = options.max_tokens_per_batch
        self.max_tokens: int = configured or MOST_TOKENS[loaded.model.device]

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        """Yield one answer per post, batch by batch."""
        pending: deque[_PendingBatch] = deque()
        for batch in self.batches(posts):
            for part in self._start(batch):
                pending.append(part)
                if len(pending) > self.sequence_model.ahead:
                    yield from self._answers(*pending.popleft())
        while pending:
            yield from self._answers(*pending.popleft())

    def batches(self, posts: Sequence[Post]) -> Iterator[list[_TokenizedPost]]:
        """Yield all of `posts` in the batches in which they are computed."""
        return batching.batches(
            self._tokenized(posts),
            max_tokens=lambda: self.max_tokens,
            pool_tokens=lambda: POOL_BATCHES * self.max_tokens,
        )

    def _tokenized(self, posts: Sequence[Post]) -> Iterator[_TokenizedPost]:
        """Yield the posts in their order; the next ones are tokenized while a batch is computed.

        The posts are taken in this thread, because taking one records it as in flight.
        """
        remaining = iter(posts)
        tokenizer = ThreadPoolExecutor(1, thread_name_prefix="tokenize")

        def next_chunk() -> Future[list[_TokenizedPost]] | None:
            chunk = list(islice(remaining, CHUNK))
            return tokenizer.submit(self._tokenize, chunk) if chunk else None

        try:
            ahead = next_chunk()
            while ahead:
                chunk = ahead.result()
                ahead = next_chunk()
                yield from chunk
        finally:
            tokenizer.shutdown(wait=False, cancel_futures=True)

    def _tokenize(self, chunk: list[Post]) -> list[_TokenizedPost]:
        texts = self.sequence_model.tokenize([post.text for post in chunk])
        return [_TokenizedPost(post.uri, tokens) for post, tokens in zip(chunk, texts, strict=True)]

    def _start(self, batch: list[_TokenizedPost]) -> Iterator[_PendingBatch]:
        """Start a batch, in parts if it does not fit in memory.

        A size that did not fit is not tried again. Later batches are as small as the parts that do.
        """
        model = self.sequence_model
        parts = [batch]
        while parts:
            part = parts.pop()
            tokens = part[0].length
            if len(part) == 1 or len(part) * tokens <= self.max_tokens:
                scores = model.start([post.tokens for post in part])
                if scores is not None:
                    yield part, scores
                    continue
                if len(part) == 1:
                    raise self._too_long(tokens)
                self.max_tokens = len(part) * tokens // 2
            half = len(part) // 2
            parts += [part[half:], part[:half]]

    def _too_long(self, tokens: int) -> TaskError:
        model = self.sequence_model
        remedy = {
            "cuda": "use a GPU with more (cluster.gres)",
            "cpu": "request more (cluster.mem_gb)",
        }
        return TaskError(
            Cause.OUT_OF_MEMORY,
            f"one post of {tokens} tokens does not fit {model.memory}: {remedy[model.device]}, "
            "or set a smaller classifier.max_length or dtype",
        )

    def _answers(self, batch: list[_TokenizedPost], scores: "PendingScores") -> Iterator[Answer]:
        probabilities = self.sequence_model.probabilities(scores)
        for post, by_label in zip(batch, probabilities, strict=True):
            facts = {TRUNCATED: post.tokens.truncated}
            if post.tokens.empty:
                yield Answer(post.uri, reason="no_tokens", facts=facts)
            elif by_label is None:
                yield Answer(post.uri, reason="invalid_answer", facts=facts)
            else:
                yield Answer(post.uri, self._labels.values(by_label), facts=facts)


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
        label_columns.label_columns(
            model_folder.describe(folder, options.multi_label), options.labels
        )
        return f"{_HASH}{model_folder.fingerprint(folder)}"
    except BadModel as problem:
        inputs.report("model", f"{folder} cannot be used: {problem}")
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
