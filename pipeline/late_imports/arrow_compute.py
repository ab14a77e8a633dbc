"""Stand for `pyarrow.compute`, which writes its 286 functions as it is imported: 24 ms."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Return a function of the module."""
    return getattr(importlib.import_module("pyarrow.compute"), name)
