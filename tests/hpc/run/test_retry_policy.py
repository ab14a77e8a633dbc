"""The `retry:` section: every factor and limit has its key, its default and its error."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from hpc.run.retry_policy import RetryPolicy, freeze, policy_of
from pipeline.config.section import Section
from pipeline.errors import InputError


def section(values: Any) -> Section:
    return Section(values, path="retry", source="run.yaml", folders=(Path(),))


def test_without_a_section_all_have_their_defaults() -> None:
    assert policy_of(freeze(section(None))) == RetryPolicy()


def test_every_key_is_read() -> None:
    values = {
        "max_attempts": 2,
        "memory_factor": 1.5,
        "max_mem_gb": 64.0,
        "time_factor": 3.0,
        "max_time_min": 2880,
        "max_excluded_nodes": 0,
        "throttled_minutes": 0.0,
        "throttled_factor": 1.0,
        "max_poison": 0,
        "requeues": 3,
        "stall_minutes": 5.0,
        "restart_stalled": True,
    }
    assert values.keys() == {field.name for field in fields(RetryPolicy)}
    assert freeze(section(values)) == values == asdict(policy_of(values))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"attempts": 5},
            "retry.attempts: is not a key that anything reads (did you mean 'max_attempts'?)",
        ),
        (
            {"max_attempts": "none"},
            "retry.max_attempts: should be a whole number, 1 or more, not 'none'",
        ),
        ({"memory_factor": 0.5}, "retry.memory_factor: should be 1 or more, not 0.5"),
        ({"time_factor": 0}, "retry.time_factor: should be more than 0, not 0"),
        ({"throttled_factor": 2}, "retry.throttled_factor: should be 1 or less, not 2"),
        ({"restart_stalled": 1}, "retry.restart_stalled: should be true or false, not 1"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(values: Any, problem: str) -> None:
    with pytest.raises(InputError) as refused:
        freeze(section(values))
    assert str(refused.value) == f"run.yaml: {problem}"
