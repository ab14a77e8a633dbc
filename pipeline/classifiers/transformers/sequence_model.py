"""Run a sequence classifier on its device.

The same posts in the same batches on the same kind of device get the same probabilities. In other
batches these differ by rounding: about 1e-6 in float32, up to 0.02 in bfloat16.
"""

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.classifiers.transformers.device import choose_device
from pipeline.classifiers.transformers.pretrained import (
    check_tokenizer,
    load_pretrained,
    max_length,
)
from pipeline.system import out_of_memory

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """One text as the model reads it."""

    ids: list[int]
    type_ids: list[int]

    truncated: bool
    """Whether the text is longer, and these tokens are only its beginning."""

    empty: bool
    """Whether the text has no tokens; a single padding token then keeps its place in the batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingScores:
    """The results of a batch that a GPU may still be computing."""

    scores: torch.Tensor
    """One score per post and label, shape (posts, labels)."""

    finite: torch.Tensor
    """Whether all scores of a post are finite, shape (posts,)."""

    copied: torch.cuda.Event | None
    """Set when both are in the CPU's memory; None on a CPU, where they are at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadOptions:
    """How a model should be run."""

    device: str
    """auto, cpu or cuda."""

    dtype: str
    """auto, float32, bfloat16 or float16."""

    max_length: int | None
    """How many tokens of a post it reads; None for as many as the model can."""

    threads: int
    """How many cores it may use."""


class SequenceModel:
    """A loaded model on its device.

    `device` and `dtype` are what it runs with. `ahead` is how many batches should be started before
    the first one's results are read, so that a GPU never waits. `network` is the model itself.
    """

    def __init__(self, folder: Path, options: LoadOptions, *, multi_label: bool) -> None:
        """Load the model.

        Args:
            folder: the model's files.
            options: how to run it.
            multi_label: whether a post may have several labels (sigmoid) or exactly one (softmax).

        Raises:
            TaskError: the machine does not have what is configured.
            BadModel: the folder is not a reliable classifier.
        """
        self.device = choose_device(
            options.device,
            sees_gpu=torch.cuda.is_available(),
            built_for_gpu=torch.version.cuda is not None,
            environment=os.environ,
        )
        self.ahead = 1 if self.device == "cuda" else 0
        self.dtype = self._dtype(options.dtype)
        self._multi_label = multi_label
        self._set_threads(options.threads)
        self._tokenizer, self.network = load_pretrained(folder, _DTYPES[self.dtype])
        check_tokenizer(self._tokenizer, self.network)
        self.padding_side: str = self._tokenizer.padding_side
        self._backend = self._tokenizer.backend_tokenizer
        self._backend.no_padding()
        self._backend.enable_truncation(
            max_length(self._tokenizer, self.network, options.max_length),
            direction=self._tokenizer.truncation_side,
        )
        self.network.to(self.device).eval()
        takes = inspect.signature(self.network.forward).parameters
        self._takes_types = (
            "token_type_ids" in takes and "token_type_ids" in self._tokenizer.model_input_names
        )
        self._extra = {"use_cache": False} if "use_cache" in takes else {}

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of each text.

        It may run in a thread beside `start`: both release the interpreter lock.
        """
        tokens = []
        for encoding in self._backend.encode_batch(list(texts)):
            ids, type_ids = encoding.ids, encoding.type_ids
            truncated, empty = bool(encoding.overflowing), not ids
            if empty:
                ids, type_ids = [self._tokenizer.pad_token_id], [self._tokenizer.pad_token_type_id]
            tokens.append(Tokens(ids=ids, type_ids=type_ids, truncated=truncated, empty=empty))
        return tokens

    def start(self, batch: Sequence[Tokens]) -> PendingScores | None:
        """Start computing a batch; return None if it does not fit in the device's memory."""
        try:
            with torch.inference_mode():
                return self._scores(self.network(**self._inputs(batch), **self._extra).logits)
        except (RuntimeError, MemoryError) as error:
            # It comes from the allocator, the driver or cuBLAS, and leaves the device as it was:
            # a smaller batch may succeed.
            if not out_of_memory.is_cause_of(error):
                raise
        # Not in the block above, where the error's frames still hold what filled the memory.
        torch.cuda.empty_cache()
        return None

    def probabilities(self, pending: PendingScores) -> list[list[float] | None]:
        """Wait for a batch, and return the probabilities of each post's labels.

        A post is None if one of its scores is not finite.
        """
        if pending.copied:
            pending.copied.synchronize()
        return [
            row if is_finite else None
            for row, is_finite in zip(pending.scores.tolist(), pending.finite.tolist(), strict=True)
        ]

    @property
    def memory(self) -> str:
        """Return what messages call the device's memory."""
        if self.device == "cpu":
            return "memory"
        gpu = torch.cuda.get_device_properties(0)
        return f"{gpu.name} with {gpu.total_memory / 2**30:.0f} GiB"

    def _dtype(self, configured: str) -> str:
        if configured != "auto":
            return configured
        if self.device == "cpu":
            return "float32"
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"

    def _set_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)
        # The tokenizer's own threads read this when they start with the first batch. On a CPU one
        # thread is enough; the others belong to the model.
        os.environ["RAYON_NUM_THREADS"] = str(threads if self.device == "cuda" else 1)

    def _scores(self, logits: torch.Tensor) -> PendingScores:
        exact = logits.float()
        scores = exact.sigmoid() if self._multi_label else exact.softmax(dim=1)
        finite = exact.isfinite().all(dim=1)
        if self.device == "cpu":
            return PendingScores(scores=scores, finite=finite, copied=None)
        # Queue the copy now, not when the scores are read: a GPU works in order, and a copy queued
        # after the next batch would wait for that one too. The event blocks: a thread that spins
        # would take the task's only core from the tokenizer.
        copied = torch.cuda.Event(blocking=True)
        pending = PendingScores(
            scores=scores.to("cpu", non_blocking=True),
            finite=finite.to("cpu", non_blocking=True),
            copied=copied,
        )
        copied.record()
        return pending

    def _inputs(self, batch: Sequence[Tokens]) -> dict[str, torch.Tensor]:
        tokenizer = self._tokenizer
        inputs = {
            "input_ids": self._pad([post.ids for post in batch], tokenizer.pad_token_id),
            "attention_mask": self._pad([[1] * len(post.ids) for post in batch], 0),
        }
        if self._takes_types:
            padding = tokenizer.pad_token_type_id
            inputs["token_type_ids"] = self._pad([post.type_ids for post in batch], padding)
        if self.device == "cpu":
            return inputs
        return {
            name: tensor.pin_memory().to(self.device, non_blocking=True)
            for name, tensor in inputs.items()
        }

    def _pad(self, rows: list[list[int]], padding: int) -> torch.Tensor:
        longest = max(map(len, rows))
        if self.padding_side == "left":
            return torch.tensor([[padding] * (longest - len(row)) + row for row in rows])
        return torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
