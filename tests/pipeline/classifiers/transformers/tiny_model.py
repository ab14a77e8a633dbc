"""Save sequence classifiers with random weights: real files of transformers, made in a moment.

Nothing here was trained or downloaded. The vocabulary is letters and a few words.
"""

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("what", "a", "fine", "awful", "day", "the", "table", "poison", "and", "is")
LETTERS = string.ascii_lowercase + string.digits
VOCABULARY = (*SPECIAL, *WORDS, *LETTERS[1:], "🦋", *(f"##{character}" for character in LETTERS))
TOXIC = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
SPECIAL_IDS = {"cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}
ROBERTA = ("roberta", "xlm-roberta")
MULTI, SINGLE = "multi_label_classification", "single_label_classification"


def tokenizer(*, positions: int, words: Sequence[str] = VOCABULARY, **options: Any) -> Any:
    """Return a WordPiece tokenizer; with 0 positions it does not say what its model can read."""
    vocabulary = {word: number for number, word in enumerate(words)}
    backend = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        | ({"model_max_length": positions} if positions else {})
        | options,
    )


def model(
    *,
    kind: str = "bert",
    labels: Sequence[str] = TOXIC,
    problem_type: str | None = MULTI,
    positions: int = 64,
    size: tuple[int, int] = (32, 2),
    seed: int = 1,
    **config: Any,
) -> Any:
    """Return a model whose weights are so large that posts differ in their probabilities.

    `size` is the width of its layers and their number.
    """
    torch.manual_seed(seed)
    hidden, layers = size
    sizes: dict[str, Any] = {
        "bert": {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": 4,
                 "intermediate_size": 4 * hidden},
        "roberta": {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": 4,
                    "intermediate_size": 4 * hidden},
        "distilbert": {"dim": hidden, "n_layers": layers, "n_heads": 4, "hidden_dim": 4 * hidden},
        "gpt2": {"n_embd": hidden, "n_layer": layers, "n_head": 4},
        # Every second layer sees all positions, the others four on either side.
        "modernbert": {"hidden_size": hidden, "num_hidden_layers": layers,
                       "num_attention_heads": 4, "intermediate_size": 4 * hidden,
                       "global_attn_every_n_layers": 2, "local_attention": 8, **SPECIAL_IDS},
    }  # fmt: skip
    sizes["xlm-roberta"] = sizes["roberta"]
    configuration = AutoConfig.for_model(
        kind,
        **{
            "vocab_size": len(VOCABULARY),
            "max_position_embeddings": positions,
            "pad_token_id": 0,
            "initializer_range": 0.3,
            "id2label": dict(enumerate(labels)),
            "label2id": {label: number for number, label in enumerate(labels)},
            "problem_type": problem_type,
        }
        | sizes[kind]
        | config,
    )
    return AutoModelForSequenceClassification.from_config(configuration).eval()


def save(folder: Path, *, positions: int = 64, **options: Any) -> Path:
    """Save a model (with the options of `model`) and its tokenizer, and return the folder."""
    # RoBERTa's first positions, up to its padding token's number (0 here), are never a token's.
    offset = 1 if options.get("kind") in ROBERTA else 0
    model(positions=positions + offset, **options).save_pretrained(folder)
    tokenizer(positions=positions).save_pretrained(folder)
    return folder


def plain(folder: Path, texts: Sequence[str], *, softmax: bool = False) -> list[list[float]]:
    """Return probabilities as the documentation of transformers computes them, text by text."""
    reader = PreTrainedTokenizerFast.from_pretrained(folder)
    classifier = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32
    ).eval()
    probabilities = []
    for text in texts:
        inputs = reader(text, truncation=True, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            logits = classifier(**inputs).logits[0]
        probabilities.append((logits.softmax(0) if softmax else logits.sigmoid()).tolist())
    return probabilities
