"""Stand for `psutil`, which reads files of /proc as it is imported: 20 ms."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Return a name of the module."""
    return getattr(importlib.import_module("psutil"), name)
