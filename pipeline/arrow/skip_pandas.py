"""Keep PyArrow from importing pandas, which takes longer than all other imports of a process.

`pyarrow.array` asks whether its argument is a pandas object. It imports pandas for that wherever
pandas is installed, even if nothing in the process has ever heard of pandas (PyArrow 15 to 25,
`pandas-shim.pxi`).
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_PANDAS = "pandas"


class _NoPandas:
    """Says that pandas is not installed, as long as it is among the finders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == _PANDAS:
            raise ModuleNotFoundError(name=name)
        return None


def skip_pandas() -> None:
    """Let PyArrow conclude that there is no pandas, unless it is imported already.

    Everybody else can import pandas afterward. PyArrow itself then looks for it again where it is
    needed, as in `Table.to_pandas`. Without PyArrow, nothing is done.
    """
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is None or _PANDAS in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pyarrow.array(())
    finally:
        sys.meta_path.remove(finder)
