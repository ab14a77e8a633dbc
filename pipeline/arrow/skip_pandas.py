"""Keep PyArrow from importing pandas, which takes longer than all other imports of a process.

`pyarrow.array` asks whether its argument is a pandas object. It imports pandas for that wherever
pandas is installed, even if nothing in the process has ever heard of pandas (PyArrow 15 to 25,
`pandas-shim.pxi`).
"""

import sys

from pipeline.arrow.hidden_package import hidden

_PANDAS = "pandas"


def skip_pandas() -> None:
    """Let PyArrow conclude that there is no pandas, unless it is imported already.

    Everybody else can import pandas afterward. PyArrow itself then looks for it again where it is
    needed, as in `Table.to_pandas`. Without PyArrow, nothing is done.
    """
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is None or _PANDAS in sys.modules:
        return
    with hidden(_PANDAS):
        pyarrow.array(())
