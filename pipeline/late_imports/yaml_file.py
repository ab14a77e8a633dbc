"""Stand for `pipeline.config.yaml_file`, which imports PyYAML: 10 ms.

A task reads YAML only in a run that an older version made.
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Return a name of the module."""
    return getattr(importlib.import_module("pipeline.config.yaml_file"), name)
