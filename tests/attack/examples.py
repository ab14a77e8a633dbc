"""How many attacks are tried: a few, always the same, or as many as ATTACKS says."""

import os

from hypothesis import HealthCheck, Phase, settings

ATTACKS = int(os.environ.get("ATTACKS", "0"))

# Each takes some seconds, so a failure is shown as it is found.
some_attacks = settings(
    max_examples=ATTACKS or 5,
    derandomize=not ATTACKS,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
