"""Judge whether tasks will find the API key. Pure."""

from collections.abc import Mapping, Sequence

from hpc.checks.finding import Finding, Level, Part, ok
from pipeline.config.check import Problem

_ENV, _FILE = "api_key_env", "api_key_file"


def judge_key(
    classifier: Mapping[str, object], lacks: Sequence[Problem], *, level: Level = Level.ERROR
) -> list[Finding]:
    """Say where the key is, or what is wrong with it. The key itself is shown nowhere.

    Args:
        classifier: the frozen options.
        lacks: what this shell or machine lacks.
        level: how bad a missing key is: a plan can be shown without one.
    """
    variable, file = classifier.get(_ENV), classifier.get(_FILE)
    if lacks:
        return [
            Finding(
                part=Part.KEY,
                level=level,
                message=f"{problem.path}: {problem.text}",
                remedy=_remedy(variable, file),
            )
            for problem in lacks
        ]
    if file:
        return [ok(Part.KEY, f"{file} holds one, and only you can read it")]
    if variable:
        return [ok(Part.KEY, f"the environment variable {variable} holds one")]
    return [ok(Part.KEY, "none is needed")]


def _remedy(variable: object, file: object) -> str:
    if file:
        return f"put the key alone into {file}, and run chmod 600 {file}"
    return (
        f"run export {variable}=…, or put the key into a file, run chmod 600 on it, and set "
        "classifier.api_key_file, which cron needs anyway"
    )
