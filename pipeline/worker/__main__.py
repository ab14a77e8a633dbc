"""Run one task of a run: `python -m pipeline.worker`, as the local executor starts it."""

import sys

from pipeline.worker.process import main

main(sys.argv[1:])
