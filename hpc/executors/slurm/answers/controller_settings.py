"""Read those settings of slurm.conf that matter here from `scontrol show config`. Pure."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ControllerSettings:
    """What the controller says about itself."""

    cluster_name: str
    """ClusterName; '' if the answer has none."""
    max_array_size: int | None
    """MaxArraySize: array indices go from 0 to one less. None if the answer has none."""
    keeps_jobs_private: bool
    """Whether PrivateData keeps users from seeing the jobs of others."""
    slurm_user_id: int | None
    """The user id of SlurmUser, who sees every job."""


def parse_controller_settings(shown: str) -> ControllerSettings:
    """Return the settings in what `scontrol show config` prints."""
    config = parse_config(shown)
    size = config.get("MaxArraySize", "")
    private = config.get("PrivateData", "").lower().split(",")
    user = re.search(r"\((\d+)\)$", config.get("SlurmUser", ""))
    return ControllerSettings(
        cluster_name=config.get("ClusterName", ""),
        max_array_size=int(size) if size.isdecimal() else None,
        keeps_jobs_private=not {"jobs", "all"}.isdisjoint(private),
        slurm_user_id=int(user[1]) if user else None,
    )


def parse_config(printed: str) -> dict[str, str]:
    """Return the values of `scontrol show config` by their names."""
    pairs = (line.partition("=") for line in printed.splitlines())
    return {name.strip(): value.strip() for name, is_pair, value in pairs if is_pair}
