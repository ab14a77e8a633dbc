"""Compare a local model's posts per second with transformers' `pipeline` and a bare forward pass.

All three process the same tokens, the bare pass in the same batches as ours, in one process, in
turns.

    python -m benchmarks.local_model [--posts N] [--layers 12] [--hidden 768] [--rounds 3]
        [--model FOLDER] [--device auto] [--dtype auto] [--max-tokens-per-batch N]
        [--results FILE.json]

Needs the extra `transformers` and no network.
By default it labels 2,000 posts on a CPU and 40,000 on a GPU. On a GPU these are about 130 batches,
so that the last, smaller batches carry little weight.

Without --model it makes a model with random weights in the shape of BERT (base by default, like
toxic-bert), because the cost of a forward pass does not depend on the weights. The texts are random
words with the lengths of posts: half are shorter than 35 tokens, a few have 300. It prints medians
and ratios. All files are in a temporary folder.

The bare pass finds its tokens on the device and discards its results. Our classifier also makes the
tokens and the answers. A CPU core that waits for a GPU counts as busy, so the CPU time says nothing
about runs on a GPU.
"""

import argparse
import os
import platform
import random
import statistics
import string
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from benchmarks.paired import Figure, median_ratio, report
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.configured_classifier import check_classifier
from pipeline.classifiers.transformers.batching import padded_tokens
from pipeline.classifiers.transformers.classifier import TransformersClassifier
from pipeline.classifiers.transformers.options import TransformersOptions
from pipeline.config.check import Problems
from pipeline.model import Post

VOCABULARY = 30_522
POSTS = {"cpu": 2_000, "cuda": 40_000}
MEDIAN_TOKENS, SPREAD, LONGEST = 35, 0.8, 300
PIPELINE_BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--model", type=Path)
    for option in ("--device", "--dtype"):
        parser.add_argument(option, default="auto")
    parser.add_argument("--max-tokens-per-batch", type=int)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
        folder = options.model or random_model(Path(name), options.layers, options.hidden)
        measure(folder, options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    keys = {"model": str(folder), "device": options.device, "dtype": options.dtype}
    keys["max_tokens_per_batch"] = options.max_tokens_per_batch
    problems = Problems()
    configured = check_classifier(
        {"type": "transformers", **keys}, source="benchmark", folders=(Path(),), problems=problems
    )
    problems.raise_any()
    assert configured
    frozen = configured.freeze(problems)
    problems.raise_any()
    assert isinstance(frozen.options, TransformersOptions)
    ours = TransformersClassifier(frozen.options, TaskShare())
    device, dtype = ours.sequence_model.device, ours.sequence_model.dtype
    count = options.posts or POSTS[device]
    posts = [Post(f"at://{number}", text) for number, text in enumerate(texts(count))]
    planned = planned_batches(ours, posts)
    bare_model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=getattr(torch, dtype), local_files_only=True
    )
    bare_model.to(device).eval()
    tensors = [inputs(batch, device) for batch in planned]
    plain = transformers.pipeline(
        "text-classification",
        model=bare_model,
        tokenizer=AutoTokenizer.from_pretrained(folder, local_files_only=True),
        device=device,
        batch_size=PIPELINE_BATCH,
        top_k=None,
    )
    steps: dict[str, Callable[[], object]] = {
        "bare forward": lambda: bare(bare_model, tensors),
        "ours": lambda: list(ours.classify(posts)),
        "pipeline": lambda: plain([post.text for post in posts], truncation=True),
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for turn in range(options.rounds + 1):
        for name, step in steps.items():
            both = seconds(step, device)
            if turn:  # skip the first: it allocates memory and chooses kernels
                took[name].append(both)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    described = f"{machine(device)}; {dtype}, {torch.get_num_threads()} threads, {versions}"
    report(f"{describe(planned, len(posts))}; {described}", compare(took, count), options.results)
    if len(planned_batches(ours, posts)) != len(planned):
        raise SystemExit("memory ran out and our batches shrank: the figures do not compare")


def describe(planned: list[list[list[int]]], posts: int) -> str:
    tokens = sum(len(ids) for batch in planned for ids in batch)
    padded = sum(padded_tokens([len(ids) for ids in batch]) for batch in planned)
    padding = f"{padded / tokens - 1:.1%} padding"
    return f"{posts:,} posts, {tokens:,} tokens, {len(planned)} batches, {padding}"


def compare(took: dict[str, list[tuple[float, float]]], posts: int) -> list[Figure]:
    """Compare the rates of our classifier with those of both others."""
    ours = took.pop("ours")
    return [
        Figure(
            name="posts per second",
            reference=other,
            ratio=median_ratio([wall for wall, _ in theirs], [wall for wall, _ in ours]),
            rounds=len(ours),
            details={
                "posts per CPU second, ratio": median_ratio(
                    [cpu for _, cpu in theirs], [cpu for _, cpu in ours]
                ),
                "rate": posts / statistics.median(wall for wall, _ in ours),
                "reference rate": posts / statistics.median(wall for wall, _ in theirs),
                "CPU ms per post": 1000 * statistics.median(cpu for _, cpu in ours) / posts,
            },
        )
        for other, theirs in took.items()
    ]


def planned_batches(ours: TransformersClassifier, posts: list[Post]) -> list[list[list[int]]]:
    """Return the token ids of each post of each batch, as our classifier makes them."""
    return [[post.tokens.ids for post in batch] for batch in ours.batches(posts)]


def inputs(batch: list[list[int]], device: str) -> dict[str, torch.Tensor]:
    longest = max(map(len, batch))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in batch])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in batch])
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


def bare(model: Any, tensors: list[dict[str, torch.Tensor]]) -> None:
    with torch.inference_mode():
        for tensor in tensors:
            model(**tensor)


def seconds(act: Callable[[], object], device: str) -> tuple[float, float]:
    """Return wall-clock and CPU seconds. On a shared machine only the CPU time is the program's."""
    before = clocks(device)
    act()
    after = clocks(device)
    return after[0] - before[0], after[1] - before[1]


def clocks(device: str) -> tuple[float, float]:
    """Return both clocks once the device has finished its work."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def random_model(folder: Path, layers: int, hidden: int) -> Path:
    """Save a model with random weights, and a vocabulary of random words as large as BERT's."""
    chance = random.Random(1)
    words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    while len(words) < VOCABULARY:
        word = "".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 9)))
        words.setdefault(word, len(words))
    backend = Tokenizer(WordPiece(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=512, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 64),
        intermediate_size=4 * hidden,
        id2label=dict(enumerate(("toxic", "severe", "obscene", "threat", "insult", "hate"))),
        problem_type="multi_label_classification",
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def texts(count: int) -> list[str]:
    chance = random.Random(2)
    lengths = (
        min(LONGEST, max(3, int(chance.lognormvariate(0, SPREAD) * MEDIAN_TOKENS)))
        for _ in range(count)
    )
    return [
        " ".join("".join(chance.choices(string.ascii_lowercase, k=2)) for _ in range(length))
        for length in lengths
    ]


def machine(device: str) -> str:
    if device == "cuda":
        most = torch.cuda.max_memory_allocated() / 2**30
        return f"{torch.cuda.get_device_name(0)} (CUDA {torch.version.cuda}, {most:.1f} GiB used)"
    return f"{len(os.sched_getaffinity(0))} CPU cores, {platform.machine()}"


if __name__ == "__main__":
    main()
