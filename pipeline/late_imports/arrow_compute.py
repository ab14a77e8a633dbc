"""Stand for `pyarrow.compute`, which writes its 286 functions as it is imported: 24 ms."""

import importlib
import sys
from typing import Any

from pipeline.arrow.skip_numpy import without_numpy_if_pyarrow_is

_COMPUTE = "pyarrow.compute"


def __getattr__(name: str) -> Any:
    """Return a function of the module."""
    if _COMPUTE not in sys.modules:
        with without_numpy_if_pyarrow_is():
            importlib.import_module(_COMPUTE)
    return getattr(sys.modules[_COMPUTE], name)
