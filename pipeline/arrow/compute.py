"""The functions of `pyarrow.compute`, imported when one of them is used first.

PyArrow writes each of its 286 functions as the module is imported, which takes 24 ms: a tenth of
the start of a command. Most commands need none.
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Return a function of `pyarrow.compute`."""
    value = getattr(importlib.import_module("pyarrow.compute"), name)
    globals()[name] = value
    return value
