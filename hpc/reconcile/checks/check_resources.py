"""Check what tasks and caretakers request against the cluster, before anything is submitted."""

from hpc.executors.base import Executor, ExecutorError
from hpc.run.cluster.resources import Cluster, Resources
from hpc.run.model.run import Say
from pipeline.config.check import Problems


def check_resources(
    executor: Executor, cluster: Cluster, *, source: str, caretaker: bool, say: Say
) -> None:
    """Reject resources that the cluster can never give; say so if it does not answer.

    Args:
        executor: what runs the tasks.
        cluster: the resources of the tasks and of caretakers.
        source: where the keys stand, for the message.
        caretaker: whether a caretaker is wanted too.
        say: shows a message.

    Raises:
        InputError: the message names each key and its limit.
    """
    problems = Problems()
    sections = {"cluster": cluster.resources}
    if caretaker:
        sections["cluster.caretaker"] = cluster.caretaker
    for path, resources in sections.items():
        _check(executor, resources, source, path, problems, say)
    problems.raise_any()


def _check(
    executor: Executor,
    resources: Resources,
    source: str,
    path: str,
    problems: Problems,
    say: Say,
) -> None:
    try:
        check = executor.check_resources(resources)
    except ExecutorError as error:
        say(f"the resources of {path} are not checked: {error.words}")
        return
    for key, why in check.problems.items():
        problems.add(source, f"{path}.{key}", why)
    if check.note:
        say(f"{path}.partition: {check.note}")
