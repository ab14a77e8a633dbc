"""Look at a node as a task would find it: `python -m pipeline.worker.node_probe RUNS/.check-1a2b`.

Only the standard library is imported here, because the job also has to report an environment in
which nothing else can be imported.
"""

import importlib
import json
import os
import platform
import socket
import sys
import time
from pathlib import Path

REPORT = "report.json"


def write_report(folder: Path, values: dict[str, object]) -> None:
    """Write what is known so far; it appears whole or not at all."""
    begun = folder / f".{REPORT}"
    begun.write_text(json.dumps(values), encoding="utf-8")
    begun.replace(folder / REPORT)


def describe_python() -> dict[str, object]:
    """Return what can be said without importing anything."""
    return {
        "stage": "imports",
        "node": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        "python": sys.executable,
        "python_version": platform.python_version(),
        "written_at": time.time(),
    }


def main(folder: Path) -> None:
    """Write a report into the folder, stage by stage."""
    values = describe_python()
    write_report(folder, values)
    try:
        # What a task imports. An older Python fails with a SyntaxError.
        for name in ("pipeline.worker.array_task", "pipeline.worker.node_stages"):
            stages = importlib.import_module(name)
    except (ImportError, SyntaxError, AttributeError, OSError) as error:
        missing = f"{type(error).__name__}: {error}"
        write_report(folder, values | {"missing": missing, "stage": ""})
        return
    for later in stages.look(folder):
        values |= later
        write_report(folder, values)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
