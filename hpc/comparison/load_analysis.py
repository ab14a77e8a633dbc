"""Import the statistics when they are needed: their packages are an optional extra."""

import importlib
from types import ModuleType

from pipeline.errors import RunError

# By their modules.
EXTRA_PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
}


def load_analysis(module: str, verb: str = "compare") -> ModuleType:
    """Return a module that needs packages of an extra.

    scipy and scikit-learn take a second to import.

    Args:
        module: its name.
        verb: the command that needs it, for the message.

    Raises:
        RunError: a package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in EXTRA_PACKAGES:
            raise
        packages = "scipy scikit-learn"
        if missing == "matplotlib":
            packages = missing
        raise RunError(
            f"{verb} needs extra packages, and {error.name} is not installed. Install them with: "
            f"python -m pip install {packages}"
        ) from None
