"""Correct a submitted run: write an amendment, and return the run as it holds from then on."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hpc.run.model.run import Run
from hpc.run.run_folder import typed_run
from hpc.run.submissions import read_submissions
from pipeline import __version__
from pipeline.errors import BusyError
from pipeline.run_files import amendments
from pipeline.run_files.amendments import Amendment, Change
from pipeline.run_files.portable_paths import project_folders
from pipeline.system.ownership import user_name


def amend(run: Run, changes: Sequence[Change], *, dry_run: bool = False) -> Run:
    """Return the run with these changes. The caller holds the run's lock.

    Args:
        run: the run as it holds now.
        changes: what to change; nothing is written if there is nothing.
        dry_run: write nothing.

    Raises:
        BusyError: another process has amended the run meanwhile.
    """
    if not changes:
        return run
    recorded = read_submissions(run)
    amendment = Amendment(
        format=amendments.FORMAT,
        number=len(run.amendments) + 1,
        amended_at=datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds"),
        amended_by=user_name(os.getuid()),
        version=__version__,
        after_attempt=max((submission.number for submission in recorded), default=0),
        changes=tuple(changes),
    )
    made = amendments.apply(run.manifest, [amendment], run.folder)
    amended = typed_run(run.folder, made, (*run.amendments, amendment))
    if not dry_run:
        try:
            project = project_folders(run.folder.parent, Path.cwd())
            amendments.write(run.folder, amendment, project)
        except FileExistsError:
            raise BusyError(
                f"run {run.run_id} was amended by another process meanwhile: look at hpc status, "
                "then type the same command again"
            ) from None
    return amended
