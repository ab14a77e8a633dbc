"""Options of sbatch that a configuration may add, and those that would fight our own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.run.cluster.sbatch_options import RESERVED, objection

HARMLESS = ("mail-type", "mail-user", "comment", "nice", "exclusive", "reservation", "licenses",
            "nodelist", "no-requeue", "requeue", "gpus-per-task", "time-min", "oversubscribe",
            "tmp", "prefer", "wait-all-nodes", "core-spec")  # fmt: skip


@pytest.mark.parametrize("option", HARMLESS)
def test_other_options_may_be_added(option: str) -> None:
    assert objection([option]) == objection([option.replace("-", "_")]) == ""


@given(st.sampled_from(sorted(RESERVED)), st.integers(2, 30), st.sampled_from(HARMLESS))
def test_no_spelling_of_a_reserved_option_gets_through(
    option: str, length: int, other: str
) -> None:
    assert objection([other, option[:length]])
    assert objection([option.replace("-", "_")])


@pytest.mark.parametrize(
    "name", ["", "-", " mem", "mem ", "nodes=2", "comment\n#SBATCH --ntasks=4", "Mem", "NODES", "é"]
)
def test_what_is_no_name_of_an_option_is_rejected(name: str) -> None:
    assert objection([name])
