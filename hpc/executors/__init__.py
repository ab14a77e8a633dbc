"""Run the tasks of a run on a Slurm cluster or on this machine."""

import importlib


def __getattr__(name: str) -> object:
    """Find `ShardTask` where tasks that version 0.1 submitted look for it.

    A task that waits in Slurm's queue during an update unpickles `hpc.executors.ShardTask`.
    """
    if name == "ShardTask":
        # Imported only then: nothing else on the login node needs the worker.
        return importlib.import_module("pipeline.worker.submitit_task").ShardTask
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
