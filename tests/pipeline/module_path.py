"""Where the verbs and tasks that tests start find modules."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def module_path(*folders: Path) -> str:
    """Return PYTHONPATH for a process: the project, these folders, and no pandas."""
    return os.pathsep.join(map(str, (ROOT / "tests" / "absent_packages", ROOT, *folders)))
