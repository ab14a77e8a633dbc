"""A sequence classifier on its device: the only door to torch and transformers.

The same posts in the same batches on the same kind of device have the same probabilities. In other
batches they differ by rounding: some 1e-7 in float32, up to 0.01 in bfloat16.
"""

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from pipeline import out_of_memory
from pipeline.classifiers.transformers.device import device
from pipeline.classifiers.transformers.model_folder import BadModel

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# What a tokenizer of transformers has where nobody said how much its model can take.
_NO_LIMIT = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """One text as the model reads it. `truncated`: it is longer, and this its beginning. `nothing`:
    the tokenizer leaves nothing of it; the one padding token in its place keeps the batch whole."""

    ids: list[int]
    type_ids: list[int]
    truncated: bool
    nothing: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A batch that a GPU may still be at work on: `scores`, one a post and label, and of each post
    whether they are `numbers`, are in the CPU's memory once `arrived` has come."""

    scores: torch.Tensor
    numbers: torch.Tensor
    arrived: torch.cuda.Event | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadOptions:
    """How a model should be run: `device` and `dtype` may be auto, `max_length` None (its own)."""

    device: str
    dtype: str
    max_length: int | None
    threads: int


class SequenceModel:
    """Loaded, on its device. `dtype` and `device` are what it runs with; `ahead` is how many
    batches should be started before the first one's answer is read, so that a GPU never waits.

    Raises TaskError where the machine lacks what was asked for, BadModel where the folder holds no
    classifier that can be relied on.
    """

    def __init__(self, folder: Path, wish: LoadOptions, *, multi_label: bool) -> None:
        self.device = device(
            wish.device,
            sees_gpu=torch.cuda.is_available(),
            built_for_gpu=torch.version.cuda is not None,
            environment=os.environ,
        )
        self.ahead = 1 if self.device == "cuda" else 0
        self.dtype = self._dtype(wish.dtype)
        self._multi_label = multi_label
        self._set_threads(wish.threads)
        logging.disable_progress_bar()
        self._tokenizer, self._model = self._load(folder)
        self._check_tokenizer()
        self._backend = self._tokenizer.backend_tokenizer
        self._backend.no_padding()
        self._backend.enable_truncation(
            self._max_length(wish.max_length), direction=self._tokenizer.truncation_side
        )
        self._model.to(self.device).eval()
        takes = inspect.signature(self._model.forward).parameters
        self._takes_types = (
            "token_type_ids" in takes and "token_type_ids" in self._tokenizer.model_input_names
        )
        self._extra = {"use_cache": False} if "use_cache" in takes else {}

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        """May run in another thread meanwhile: it lets go of the interpreter, as `start` does."""
        found = []
        for one in self._backend.encode_batch(list(texts)):
            ids, type_ids, truncated = one.ids, one.type_ids, bool(one.overflowing)
            nothing = not ids
            if nothing:
                ids, type_ids = [self._tokenizer.pad_token_id], [self._tokenizer.pad_token_type_id]
            found.append(Tokens(ids=ids, type_ids=type_ids, truncated=truncated, nothing=nothing))
        return found

    def start(self, batch: Sequence[Tokens]) -> Started | None:
        """All that is to be done for a batch, told to its device; None where memory lacks."""
        try:
            with torch.inference_mode():
                return self._scored(self._model(**self._inputs(batch), **self._extra).logits)
        except (RuntimeError, MemoryError) as error:
            # An allocator's, or the driver's or cuBLAS's: they leave the device as it was, so that
            # a smaller batch may be tried.
            if not out_of_memory.is_cause_of(error):
                raise
        # Not in the block above: there, the error's frames still hold what filled the memory.
        torch.cuda.empty_cache()
        return None

    def probabilities(self, started: Started) -> list[list[float] | None]:
        """By label, of each post; None where the model gave something that is no number."""
        if started.arrived:
            started.arrived.synchronize()
        return [
            row if is_number else None
            for row, is_number in zip(
                started.scores.tolist(), started.numbers.tolist(), strict=True
            )
        ]

    @property
    def memory(self) -> str:
        """Of the device, for messages."""
        if self.device == "cpu":
            return "memory"
        found = torch.cuda.get_device_properties(0)
        return f"{found.name} with {found.total_memory / 2**30:.0f} GiB"

    def _dtype(self, asked: str) -> str:
        if asked != "auto":
            return asked
        if self.device == "cpu":
            return "float32"
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"

    def _set_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)
        # Read by the tokenizer's own threads, which start with its first batch. On a CPU one is
        # enough, and the others are the model's.
        os.environ["RAYON_NUM_THREADS"] = str(threads if self.device == "cuda" else 1)

    def _load(self, folder: Path) -> tuple[Any, Any]:
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                dtype=_DTYPES[self.dtype],
            )
        except (
            *(OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError),
            SafetensorError,
        ) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's or the file system's: the model may be well
            if out_of_memory.is_cause_of(error):
                raise
            problem = str(error).strip().partition("\n")[0]
            raise BadModel(f"transformers cannot load it: {problem}") from error
        # transformers fills these with random numbers, and warns.
        untrained = sorted(info["missing_keys"])
        if untrained:
            raise BadModel(
                f"it is no trained classifier: it has no weights for {', '.join(untrained[:4])}"
            )
        return tokenizer, model

    def _check_tokenizer(self) -> None:
        tokenizer = self._tokenizer
        if tokenizer.pad_token_id is None:
            raise BadModel("its tokenizer has no padding token")
        embedded = self._model.get_input_embeddings().num_embeddings
        # A model's table may have some rows more, to make its size a round one.
        if not embedded / 2 <= len(tokenizer) <= embedded:
            raise BadModel(
                f"its tokenizer has {len(tokenizer)} tokens and the model {embedded}: they are not "
                "of one model"
            )

    def _max_length(self, asked: int | None) -> int:
        limits = [self._tokenizer.model_max_length, *self._positions()]
        known = [limit for limit in limits if isinstance(limit, int) and limit < _NO_LIMIT]
        if asked is not None and known and asked > min(known):
            raise BadModel(f"it reads {min(known)} tokens at most: classifier.max_length is more")
        if asked is None and not known:
            raise BadModel("it does not say how many tokens it reads: set classifier.max_length")
        return min(known) if asked is None else asked

    def _positions(self) -> list[int]:
        """How many the model has embeddings for; RoBERTa's first ones are never a token's."""
        tables = [
            module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
            for name, module in self._model.named_modules()
            if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding)
        ]
        return tables or [getattr(self._model.config, "max_position_embeddings", _NO_LIMIT)]

    def _scored(self, logits: torch.Tensor) -> Started:
        exact = logits.float()
        scores = exact.sigmoid() if self._multi_label else exact.softmax(dim=1)
        numbers = exact.isfinite().all(dim=1)
        if self.device == "cpu":
            return Started(scores=scores, numbers=numbers, arrived=None)
        # Now, not when they are read: a GPU does what it is told in turn, so that what is told
        # after the next batch has been started waits for that one too.
        # Slept on: a thread that spins takes the one core of the task from the tokens' threads.
        arrived = torch.cuda.Event(blocking=True)
        started = Started(
            scores=scores.to("cpu", non_blocking=True),
            numbers=numbers.to("cpu", non_blocking=True),
            arrived=arrived,
        )
        arrived.record()
        return started

    def _inputs(self, batch: Sequence[Tokens]) -> dict[str, torch.Tensor]:
        tokenizer = self._tokenizer
        inputs = {
            "input_ids": self._padded([post.ids for post in batch], tokenizer.pad_token_id),
            "attention_mask": self._padded([[1] * len(post.ids) for post in batch], 0),
        }
        if self._takes_types:
            padding = tokenizer.pad_token_type_id
            inputs["token_type_ids"] = self._padded([post.type_ids for post in batch], padding)
        if self.device == "cpu":
            return inputs
        return {
            name: tensor.pin_memory().to(self.device, non_blocking=True)
            for name, tensor in inputs.items()
        }

    def _padded(self, rows: list[list[int]], padding: int) -> torch.Tensor:
        longest = max(map(len, rows))
        if self._tokenizer.padding_side == "left":
            return torch.tensor([[padding] * (longest - len(row)) + row for row in rows])
        return torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
