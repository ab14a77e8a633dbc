"""What sbatch answers, through whatever wrapper a site has put around it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.executors.slurm.answers.parse import begin_of_pending, parse_sbatch_answer

CHATTER = st.text(st.characters(exclude_categories=["Cs"])).filter(
    lambda text: all(not any(c.isdigit() for c in line) for line in text.splitlines())
)


@pytest.mark.parametrize(
    "printed",
    [
        "4711\n",
        "4711;quest\n",
        "Welcome to Quest!\n4711\n",
        "4711\nYour project has 12,000 hours left.\n",
        "4711;quest\n\nJob notes: see /help/4712.html\n",
        "Submitted batch job 4711\n",
        "Submitted batch job 4711 on cluster quest\n",
        "\x1b[32m4711\x1b[0m\n",
        "  4711  \r\n",
        "4711\nSubmitted batch job 4711\n",
    ],
)
def test_the_job_id_is_found_anywhere_in_sbatchs_output(printed: str) -> None:
    assert parse_sbatch_answer(printed)[0] == 4711


@pytest.mark.parametrize(
    "printed", ["", "\n", "accepted\n", "4711\n4712\n", "4711;a\n4711;b\n", "job 4711 in queue\n"]
)
def test_an_answer_without_exactly_one_job_id_gives_none(printed: str) -> None:
    assert parse_sbatch_answer(printed) == (None, None)


@pytest.mark.parametrize(
    ("printed", "cluster"),
    [
        ("4711\n", None),
        ("4711;wice\n", "wice"),
        ("Submitted batch job 4711 on cluster wice\n", "wice"),
        ("4711\nSubmitted batch job 4711 on cluster wice\n", "wice"),
    ],
)
def test_the_cluster_is_read_where_sbatch_names_it(printed: str, cluster: str | None) -> None:
    assert parse_sbatch_answer(printed) == (4711, cluster)


@given(CHATTER, st.integers(1, 67_043_328), CHATTER)
def test_other_words_around_the_job_id_change_nothing(before: str, job: int, after: str) -> None:
    assert parse_sbatch_answer(f"{before}\n{job}\n{after}") == (job, None)


def test_an_arrays_begin_time_is_that_of_its_pending_tasks() -> None:
    running = "JobId=4712 ArrayJobId=4711 JobState=RUNNING StartTime=2026-11-29T09:00:00"
    pending = "JobId=4711 JobState=PENDING Reason=BeginTime StartTime=2027-11-29T09:00:00"
    assert begin_of_pending(f"{running}\n{pending}\n") == datetime(2027, 11, 29, 9, tzinfo=UTC)
    assert begin_of_pending(running) is None
    assert begin_of_pending(pending.replace("2027-11-29T09:00:00", "Unknown")) is None
    assert begin_of_pending("") is None
