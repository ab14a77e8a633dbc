"""Tell what a key said when a submission was made. Pure."""

from hpc.run.model.run import Run


def value_at(run: Run, submission: int, key: str, now: object) -> object:
    """Return the value of a key for the tasks of a submission.

    A correction holds for later submissions only, so the first one after a submission has the
    value that this one had.

    Args:
        run: the run as it is now.
        submission: the number of the submission.
        key: the key as a configuration has it, such as `cluster.cpus`.
        now: its present value.
    """
    former = (
        change.old
        for amendment in run.amendments
        if amendment.after_attempt >= submission
        for change in amendment.changes
        if change.key == key
    )
    return next(former, now)
