"""Run one task of a Slurm array: `python -m pipeline.worker.slurm_task RUN/logs/0002`."""

import importlib
import os
import sys
from pathlib import Path

from pipeline.worker.lean_start import skip_numpy

if __name__ == "__main__":
    log_folder = Path(sys.argv[1])
    skip_numpy(log_folder.parent.parent)
    importlib.import_module("pipeline.worker.array_task").main(log_folder, os.environ)
