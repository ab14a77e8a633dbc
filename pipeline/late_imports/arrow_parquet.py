"""Stand for `pyarrow.parquet`, which imports clients of object stores and, with them, SSL: 10 ms.

Most commands look at runs whose outputs have all been verified before, and open no Parquet file.
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Return a name of the module."""
    return getattr(importlib.import_module("pyarrow.parquet"), name)
