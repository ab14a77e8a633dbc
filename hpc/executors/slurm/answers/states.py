"""Map every job state that Slurm documents to what it means here: a total table. Pure.

Source: sacct(1) and squeue(1), JOB STATE CODES, Slurm 22.05 to 25.05.
"""

from enum import StrEnum

from hpc.executors.slurm.answers.reasons import Outlook, outlook
from hpc.run.model.attempts import Phase
from pipeline.errors import Cause


class SlurmState(StrEnum):
    """The job states of sacct(1) and squeue(1)."""

    BOOT_FAIL = "BOOT_FAIL"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    COMPLETING = "COMPLETING"
    CONFIGURING = "CONFIGURING"
    DEADLINE = "DEADLINE"
    EXPEDITING = "EXPEDITING"
    FAILED = "FAILED"
    LAUNCH_FAILED = "LAUNCH_FAILED"
    NODE_FAIL = "NODE_FAIL"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    PENDING = "PENDING"
    POWER_UP_NODE = "POWER_UP_NODE"
    PREEMPTED = "PREEMPTED"
    RECONFIG_FAIL = "RECONFIG_FAIL"
    REQUEUED = "REQUEUED"
    REQUEUE_FED = "REQUEUE_FED"
    REQUEUE_HOLD = "REQUEUE_HOLD"
    RESIZING = "RESIZING"
    RESV_DEL_HOLD = "RESV_DEL_HOLD"
    REVOKED = "REVOKED"
    RUNNING = "RUNNING"
    SIGNALING = "SIGNALING"
    SPECIAL_EXIT = "SPECIAL_EXIT"
    STAGE_OUT = "STAGE_OUT"
    STOPPED = "STOPPED"
    SUSPENDED = "SUSPENDED"
    TIMEOUT = "TIMEOUT"
    UPDATE_DB = "UPDATE_DB"


Meaning = tuple[Phase, Cause | None]

MEANING: dict[SlurmState, Meaning] = {
    SlurmState.BOOT_FAIL: (Phase.ENDED, Cause.NODE),
    SlurmState.CANCELLED: (Phase.ENDED, Cause.CANCELLED),
    SlurmState.COMPLETED: (Phase.ENDED, Cause.NO_OUTPUT),
    SlurmState.COMPLETING: (Phase.ACTIVE, None),
    SlurmState.CONFIGURING: (Phase.WAITING, None),
    SlurmState.DEADLINE: (Phase.ENDED, Cause.TIMEOUT),
    SlurmState.EXPEDITING: (Phase.WAITING, None),
    SlurmState.FAILED: (Phase.ENDED, Cause.CRASHED),
    SlurmState.LAUNCH_FAILED: (Phase.ENDED, Cause.NODE),
    SlurmState.NODE_FAIL: (Phase.ENDED, Cause.NODE),
    SlurmState.OUT_OF_MEMORY: (Phase.ENDED, Cause.OUT_OF_MEMORY),
    SlurmState.PENDING: (Phase.WAITING, None),
    SlurmState.POWER_UP_NODE: (Phase.WAITING, None),
    SlurmState.PREEMPTED: (Phase.ENDED, Cause.PREEMPTED),
    SlurmState.RECONFIG_FAIL: (Phase.ENDED, Cause.NODE),
    SlurmState.REQUEUED: (Phase.WAITING, None),
    SlurmState.REQUEUE_FED: (Phase.WAITING, None),
    SlurmState.REQUEUE_HOLD: (Phase.HELD, None),
    SlurmState.RESIZING: (Phase.ACTIVE, None),
    SlurmState.RESV_DEL_HOLD: (Phase.HELD, None),
    # A federation's sibling runs the job: for this cluster it is over, and nobody ran it here.
    SlurmState.REVOKED: (Phase.ENDED, Cause.LOST),
    SlurmState.RUNNING: (Phase.ACTIVE, None),
    SlurmState.SIGNALING: (Phase.ACTIVE, None),
    SlurmState.SPECIAL_EXIT: (Phase.HELD, None),
    SlurmState.STAGE_OUT: (Phase.ACTIVE, None),
    SlurmState.STOPPED: (Phase.ACTIVE, None),
    SlurmState.SUSPENDED: (Phase.ACTIVE, None),
    SlurmState.TIMEOUT: (Phase.ENDED, Cause.TIMEOUT),
    SlurmState.UPDATE_DB: (Phase.ACTIVE, None),
}


_BY_WORD = {str(state): state for state in SlurmState}


def meaning(shown: str, reason: str = "") -> Meaning:
    """Return what a state means, as sacct or squeue shows it.

    They also show "CANCELLED by 1001", and "CANCELLED+" for a word that they cut short. A word that
    the table does not know counts as alive: nothing may be submitted on a guess.
    """
    word = shown.split(" ", 1)[0].rstrip("+*")
    state = _BY_WORD.get(word)
    if state is None and word:
        longer = [state for state in SlurmState if state.startswith(word)]
        state = longer[0] if len(longer) == 1 else None
    if state is None:
        return Phase.ACTIVE, None
    # A held job is PENDING to squeue; only its reason tells. One that can never start as it was
    # submitted needs a person too.
    if state is SlurmState.PENDING and outlook(reason) in (Outlook.HELD, Outlook.NEVER):
        return Phase.HELD, None
    return MEANING[state]
