"""Say whether a private Slurm can be booted here."""

import os

from tests.slurm.private_cluster.cluster import missing_programs


def describe_lack() -> str:
    """Return why no Slurm can be booted here; empty if one can."""
    if missing := missing_programs():
        return f"no Slurm can be booted without {', '.join(missing)}: run .ci/install-slurm"
    return "" if os.geteuid() == 0 else "no Slurm can be booted without root"
