"""A record of accounting names who canceled a task."""

from hpc.executors.slurm.query import with_user_names
from hpc.run.model.attempts import Phase, TaskRecord
from pipeline.system.ownership import user_name


def test_a_canceled_task_has_the_name_of_the_person_who_canceled_it() -> None:
    states = ("CANCELLED by 0", "CANCELLED by 4000000001", "CANCELLED", "FAILED")
    records = {
        (1, index): TaskRecord(phase=Phase.ENDED, slurm_state=state)
        for index, state in enumerate(states)
    }
    assert [record.slurm_state for record in with_user_names(records).values()] == [
        f"CANCELLED by {user_name(0)}", "CANCELLED by user 4000000001", "CANCELLED", "FAILED",
    ]  # fmt: skip
