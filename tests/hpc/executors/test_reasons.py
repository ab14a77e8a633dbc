"""Why a job waits, and whether it will ever start."""

import pytest

from hpc.executors.slurm.answers.reasons import OUTLOOK, Outlook, advice, outlook


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("Priority", Outlook.STARTS),
        ("JobArrayTaskLimit", Outlook.STARTS),
        ("QOSMaxJobsPerUserLimit", Outlook.STARTS),
        ("AssocGrpCPUMinutesLimit", Outlook.BUDGET),
        ("ReqNodeNotAvail,_UnavailableNodes:n3", Outlook.SITE),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-3]", Outlook.SITE),
        ("JobHeldUser", Outlook.HELD),
        ("launch failed requeued held", Outlook.HELD),
        ("job_requeued_in_held_state", Outlook.HELD),
        ("PartitionTimeLimit", Outlook.NEVER),
        ("QOSMaxCpuPerJobLimit", Outlook.NEVER),
        ("QOSMaxMemoryPerJob", Outlook.NEVER),
        ("QOSMaxGRESPerNode", Outlook.NEVER),
        ("AssocMaxGRESMinutesPerJob", Outlook.NEVER),
        ("AccountNotAllowed", Outlook.NEVER),
        ("ReservationDeleted", Outlook.NEVER),
        ("(PartitionConfig)", Outlook.NEVER),
    ],
)
def test_each_reason_says_whether_the_job_can_start(reason: str, expected: Outlook) -> None:
    assert outlook(reason) is expected


@pytest.mark.parametrize("reason", ["", "None", "AReasonOfSlurm99", "Job's site plugin says wait"])
def test_a_job_with_an_unknown_reason_counts_as_able_to_start(reason: str) -> None:
    assert outlook(reason) is Outlook.STARTS


def test_every_reason_that_needs_a_person_comes_with_advice() -> None:
    without_advice = {reason for reason in OUTLOOK if not advice(reason)}
    need_none = {reason for reason in OUTLOOK if outlook(reason) in (Outlook.STARTS, Outlook.ENDED)}
    of_the_run_itself = {"BeginTime", "Dependency", "JobArrayTaskLimit"}
    assert without_advice == need_none - of_the_run_itself


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        ("Licenses", "scontrol show license"),
        ("Reservation", "scontrol show reservation"),
        ("ReqNodeNotAvail,_UnavailableNodes:n3", "sinfo -R"),
        ("PartitionDown", "sinfo"),
    ],
)
def test_what_the_site_has_to_free_is_looked_up_where_slurm_shows_it(
    reason: str, command: str
) -> None:
    assert command in advice(reason)
