"""Check the jobs that a run has to wait for (`submit --after`)."""

from collections.abc import Sequence

from hpc.display.run.submissions import listed_jobs
from hpc.executors.base import Executor, UpstreamError
from hpc.run.model.run import Say
from pipeline.errors import InputError
from pipeline.messages.options import AFTER


def check_upstream(jobs: Sequence[str], executor: Executor, say: Say) -> tuple[str, ...]:
    """Check the jobs, say which are still under way, and return these.

    Args:
        jobs: their ids; nothing is checked without any.
        executor: what runs the tasks.
        say: shows a message.

    Raises:
        InputError: one of them has failed, or is unknown, or tasks cannot wait for jobs.
        ExecutorError: the executor does not answer.
    """
    if not jobs:
        return ()
    try:
        under_way = executor.check_upstream(tuple(jobs))
    except UpstreamError as error:
        raise InputError(str(error)) from None
    if under_way:
        say(f"the tasks start once {listed_jobs(under_way)} succeeded ({AFTER})")
    else:
        say(f"{listed_jobs(jobs)} succeeded already, so the tasks do not wait ({AFTER})")
    return under_way
