"""The names of jobs: what a person sees in squeue, and what finds a job again."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.naming.job_names import JobName, earlier_prefix, new_prefix, parse_job_name

RUN = "20261129T094423-toxicity-4ceaec33"

run_ids = st.builds(
    "{}T{}-{}-{}".format,
    st.from_regex(r"[0-9]{8}", fullmatch=True),
    st.from_regex(r"[0-9]{6}", fullmatch=True),
    st.from_regex(r"[a-z][a-z0-9_]{0,40}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
)
places = st.just("") | st.from_regex(r"[0-9a-f]{6}", fullmatch=True)
suffixes = st.from_regex(r"[0-9]{4,6}", fullmatch=True) | st.sampled_from(
    ["caretaker", "understudy"]
)


def test_squeue_shows_the_name_of_the_labels_in_its_eight_characters() -> None:
    assert f"{new_prefix(RUN, '')}0002" == "toxicity-20261129T094423-4ceaec33-0002"
    assert f"{new_prefix(RUN, '0a1b2c')}0002"[:9] == "toxicity-"


@given(run_ids, places, suffixes)
@pytest.mark.parametrize("prefix", [new_prefix, earlier_prefix])
def test_a_jobs_name_says_its_run_and_its_place(
    prefix: Callable[[str, str], str], run_id: str, place: str, suffix: str
) -> None:
    name = prefix(run_id, place) + suffix
    assert parse_job_name(name) == JobName(run_id=run_id, place=place, suffix=suffix)
    # Slurm keeps 255 bytes of a job's name in its accounting.
    assert len(name.encode()) <= 120


@given(run_ids, places, run_ids, places, suffixes)
def test_no_jobs_name_begins_with_the_prefix_of_another_run_or_place(
    run_id: str, place: str, other: str, elsewhere: str, suffix: str
) -> None:
    name = new_prefix(run_id, place) + suffix
    is_own = (run_id, place) == (other, elsewhere)
    assert name.startswith(new_prefix(other, elsewhere)) == is_own
    assert not name.startswith(earlier_prefix(other, elsewhere))


@pytest.mark.parametrize("name", ["", "bash", "hpc-0001", "toxicity-0002", f"hpc-{RUN}-0002.x"])
def test_other_names_are_of_no_run(name: str) -> None:
    assert parse_job_name(name) is None
