"""List what is known about models and services, such as the keys that they need. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_MODELS: Mapping[str, str] = {
    "guard": "meta-llama/Llama-Guard-3-8B",
    "transformers": "unitary/toxic-bert",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModerationService:
    """A moderation endpoint."""

    base_url: str
    model: str
    categories: str
    variable: str
    """The variable that usually holds its API key."""
    requests_per_minute: int


MODERATION_SERVICES: Mapping[str, ModerationService] = {
    "openai": ModerationService(
        base_url="https://api.openai.com/v1",
        model="omni-moderation-2024-09-26",
        categories="openai",
        variable="OPENAI_API_KEY",
        requests_per_minute=500,
    ),
    "mistral": ModerationService(
        base_url="https://api.mistral.ai/v1",
        model="mistral-moderation-2603",
        categories="mistral",
        variable="MISTRAL_API_KEY",
        requests_per_minute=60,
    ),
}

_POST = ({"role": "user", "content": "{text}"},)
# Both models' own chat templates add the task, so the post is all that is sent.
_LLAMA_GUARD: Mapping[str, object] = {
    "messages": _POST,
    "label": "unsafe",
    "words": {"unsafe": True, "safe": False},
    "categories": True,
    "max_tokens": 40,
}
_QWEN_GUARD: Mapping[str, object] = {
    "messages": _POST,
    "label": "safety",
    "answer_prefix": "Safety:",
    "words": {"Unsafe": "unsafe", "Controversial": "controversial", "Safe": "safe"},
    "categories": True,
    "max_tokens": 60,
}
_TOXIC_BERT: Mapping[str, object] = {
    "revision": "4d6c22e74ba2fdd26bc4f7238f50766b045a0d94",
    "labels": {
        "toxic": "prob_toxic",
        "severe_toxic": "prob_severe_toxic",
        "identity_hate": "prob_identity_attack",
        "insult": "prob_insult",
        "obscene": "prob_profanity",
        "threat": "prob_threat",
    },
}


def guard_values(model: str) -> Mapping[str, object]:
    """Return the keys by which a guard model is asked; those of Llama Guard for an unknown one."""
    return _QWEN_GUARD if re.search(r"qwen3guard", model, re.IGNORECASE) else _LLAMA_GUARD


def is_known_guard(model: str) -> bool:
    """Report whether `guard_values` fits a model."""
    return bool(re.search(r"qwen3guard|llama-?guard", model, re.IGNORECASE))


def llm_request(model: str) -> Mapping[str, object]:
    """Return the fields that a model needs in every request: Qwen3 thinks unless it is told not."""
    if re.search(r"qwen3(?!guard)(?!.*instruct-2507)", model, re.IGNORECASE):
        return {"request": {"chat_template_kwargs": {"enable_thinking": False}}}
    return {}


def transformers_values(model: str) -> Mapping[str, object]:
    """Return what is known about a model on the Hugging Face hub; nothing about most."""
    return _TOXIC_BERT if model == DEFAULT_MODELS["transformers"] else {}
