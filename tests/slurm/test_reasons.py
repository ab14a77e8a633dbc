"""The table of pending reasons holds every reason of the Slurm that is installed here."""

import ctypes
import pathlib

import pytest

from hpc.executors.slurm.answers.reasons import OUTLOOK
from tests.slurm.private_cluster.programs import environment

pytestmark = pytest.mark.slurm

# slurm_job_reason_string until Slurm 22.05, slurm_job_state_reason_string since.
FUNCTIONS = ("slurm_job_state_reason_string", "slurm_job_reason_string")
NUMBERS = 400


def reasons_of_this_slurm() -> set[str]:
    """Return the names that Slurm's own library has for its reasons."""
    squeue = next(
        pathlib.Path(folder, "squeue").resolve()
        for folder in environment()["PATH"].split(":")
        if pathlib.Path(folder, "squeue").exists()
    )
    (library, *_) = sorted(squeue.parents[1].glob("lib*/**/libslurmfull.so"))
    slurm = ctypes.CDLL(str(library))
    name_of = next(getattr(slurm, name) for name in FUNCTIONS if hasattr(slurm, name))
    name_of.restype = ctypes.c_char_p
    # A number without a reason is printed as itself by 22.05, and by one name for all since.
    names = {number: name_of(number).decode() for number in range(NUMBERS)}
    no_reason = name_of(NUMBERS).decode()
    return {name for number, name in names.items() if name not in (str(number), no_reason)}


def test_every_reason_of_this_slurm_is_in_the_table() -> None:
    names = reasons_of_this_slurm()
    assert len(names) > 150
    assert names - OUTLOOK.keys() == set()
