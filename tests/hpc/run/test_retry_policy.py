"""The `retry:` section: every factor and limit has its key and its default."""

from typing import Any

from hpc.run.retry_policy import RetryPolicy
from pipeline.config.check import Problems, check

EVERY_KEY: dict[str, Any] = {
    "max_attempts": 2,
    "memory_factor": 1.5,
    "max_mem_gb": 64.0,
    "time_factor": 3.0,
    "max_time_min": 2880,
    "max_excluded_nodes": 0,
    "throttled_minutes": 0.0,
    "max_unavailable": 3,
    "throttled_factor": 1.0,
    "max_poison": 0,
    "requeues": 3,
    "stall_minutes": 5.0,
    "restart_stalled": True,
}


def checked(values: object) -> RetryPolicy | None:
    problems = Problems()
    policy = check(RetryPolicy, values, source="run.yaml", path="retry", problems=problems)
    assert problems.found == []
    return policy


def test_without_a_section_every_key_has_its_default() -> None:
    assert checked(None) == RetryPolicy()


def test_every_key_is_read() -> None:
    assert EVERY_KEY.keys() | {"max_time"} == set(RetryPolicy.__struct_fields__)
    assert checked(EVERY_KEY) == RetryPolicy(**EVERY_KEY)
    assert RetryPolicy(**EVERY_KEY).to_json() == EVERY_KEY


def test_the_most_time_may_be_given_as_slurm_writes_it() -> None:
    assert checked({"max_time": "2-00:00:00"}) == RetryPolicy(max_time_min=2880)
    assert checked({"max_time": 90}) == RetryPolicy(max_time_min=90)
