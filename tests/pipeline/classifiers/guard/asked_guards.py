"""Configurations of guard models for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.model import JsonObject
from tests.pipeline.classifiers.classifier_setup import frozen_options

SAFETY = {"unsafe": True, "safe": False}
CHAT = [{"role": "user", "content": "{text}"}]


def guard(folder: Path, base_url: str = "http://h/v1", **values: Any) -> JsonObject:
    """Return the frozen options of a guard that is asked by chat, unless `values` say otherwise."""
    given = {"type": "guard", "base_url": base_url, "model": "guard", "messages": CHAT,
             "label": "unsafe", "words": SAFETY, **values}  # fmt: skip
    return frozen_options(
        {name: value for name, value in given.items() if value is not None}, folder
    )
