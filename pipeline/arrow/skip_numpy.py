"""Keep PyArrow from importing NumPy, which takes a fifth of the imports of a verb: 40 to 90 ms.

PyArrow needs NumPy only to convert to and from it, and from version 18 on does without.
"""

import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder
from pathlib import Path

from pipeline.arrow.hidden_package import hidden

_NUMPY, _PYARROW = "numpy", "pyarrow"
_DOES_WITHOUT = 18
# The folder of a package's metadata, beside the package.
_METADATA = re.compile(r"pyarrow-(\d+)\..*\.(?:dist|egg)-info")


def import_without_numpy() -> None:
    """Import PyArrow so that it never uses NumPy in this process, if its version can do without.

    Everybody else can import NumPy afterward, but PyArrow converts no array of it, and no table to
    pandas. So this is for processes that run only code of this program. Where PyArrow or NumPy is
    imported already, or PyArrow's version is not known, nothing is done.
    """
    if _PYARROW in sys.modules or _NUMPY in sys.modules:
        return
    if _oldest_installed() >= _DOES_WITHOUT:
        with hidden(_NUMPY):
            importlib.import_module(_PYARROW)


@contextmanager
def without_numpy_if_pyarrow_is() -> Iterator[None]:
    """Let modules of PyArrow be imported within the block as PyArrow itself was.

    `pyarrow.compute` imports NumPy once more, which takes 75 ms, for arrays that a PyArrow without
    NumPy cannot convert anyway.
    """
    if _PYARROW not in sys.modules or _NUMPY in sys.modules:
        yield
        return
    with hidden(_NUMPY):
        yield


def _oldest_installed() -> int:
    """Return the major version of PyArrow; of several, which a broken installation has, the oldest.

    Returns 0 if it is not known. `importlib.metadata` would tell too, and takes 15 to 25 ms to
    import.
    """
    spec = PathFinder.find_spec(_PYARROW)
    versions: list[int] = []
    if spec and spec.origin:
        with suppress(OSError):
            with os.scandir(Path(spec.origin).parents[1]) as entries:
                found = [_METADATA.fullmatch(entry.name) for entry in entries]
            versions = [int(match[1]) for match in found if match]
    return min(versions, default=0)
