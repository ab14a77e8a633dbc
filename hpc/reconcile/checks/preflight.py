"""Check what every attempt of a run needs, before anything is submitted.

`submit` has checked it once. Since then a key may have expired from the environment, as in cron,
or a file may have been moved. Attempts without it would all fail, and stop the run.
"""

from pathlib import Path

from hpc.display.next_step import command
from hpc.reconcile.checks.trust import check_run
from hpc.run.model.run import Run
from pipeline.classifiers import frozen_classifier
from pipeline.config.check import Problems
from pipeline.errors import InputError


def reject_labeled_elsewhere(run: Run) -> None:
    """Raise InputError if another engine labels the run, so that nothing of it is submitted."""
    if run.manifest.is_labeled_elsewhere:
        raise InputError(
            f"another engine labels run {run.run_id}, and no task does, so nothing was submitted. "
            f"To take its answers: {command('adopt', run)}"
        )


def check_before_submission(run: Run) -> None:
    """Check the classifier's API key and files, and the Python that runs the tasks.

    Raises:
        InputError: every attempt would fail now, or others can write to the run. It names each
            key of the configuration.
    """
    reject_labeled_elsewhere(run)
    check_run(run)
    problems = Problems()
    source = f"run {run.run_id}"
    python = run.cluster.resources.python
    if problem := find_python_problem(python):
        problems.add(source, "cluster.python", problem)
    frozen_classifier.check_frozen(run.manifest.classifier, source=source, problems=problems)
    try:
        problems.raise_any()
    except InputError as error:
        raise InputError(
            f"{error}\nnothing was submitted, as every attempt would fail. Running tasks go on. "
            "Fix this, and run the same command again. In cron, which has none of your shell's "
            "variables, the key has to come from classifier.api_key_file"
        ) from None


def find_python_problem(python: str) -> str:
    """Return what is wrong with the Python of the tasks; '' if nothing is known to be.

    A bare name is looked up on the node, where `setup` may have loaded a module.
    """
    path = Path(python)
    if not path.is_absolute() or path.is_file():
        return ""
    return f"there is no file {python}: name a Python on a file system that the nodes share"
