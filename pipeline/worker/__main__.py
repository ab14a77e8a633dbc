"""Run one task of a run: `python -m pipeline.worker --run-dir RUN …`, for the local executor."""

import importlib
import sys
from itertools import pairwise
from pathlib import Path

from pipeline.worker.lean_start import skip_numpy

for option, value in pairwise(sys.argv):
    if option == "--run-dir":
        skip_numpy(Path(value))
importlib.import_module("pipeline.worker.process").main(sys.argv[1:])
