"""Keep PyArrow from importing NumPy, which takes a fifth of the imports of a verb: 40 to 90 ms.

PyArrow needs NumPy only to convert to and from it, and from version 18 on does without.
"""

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version

from pipeline.arrow.hidden_package import hidden

_NUMPY = "numpy"
_DOES_WITHOUT = 18


def import_without_numpy() -> None:
    """Import PyArrow so that it never uses NumPy in this process, if its version can do without.

    Everybody else can import NumPy afterward, but PyArrow converts no array of it, and no table to
    pandas. So this is for processes that run only code of this program. Where PyArrow or NumPy is
    imported already, nothing is done.
    """
    if "pyarrow" in sys.modules or _NUMPY in sys.modules:
        return
    try:
        major = version("pyarrow").partition(".")[0]
    except PackageNotFoundError:
        return
    if int(major) >= _DOES_WITHOUT:
        with hidden(_NUMPY):
            importlib.import_module("pyarrow")
