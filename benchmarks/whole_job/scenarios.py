"""Define the work of a whole job, and what disturbs it."""

from dataclasses import dataclass, replace

from benchmarks.chat_service import Behavior

IN_FLIGHT = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """Posts to label, and what happens meanwhile."""

    name: str
    posts: int
    shards: int
    behavior: Behavior
    kills: bool = False
    """Whether every task is killed once half of the answers are paid."""
    goal: str
    """At most this many times the bare script's seconds."""

    def scaled(self, divisor: int) -> "Scenario":
        """Return the same with fewer posts, and at most as many shards as posts."""
        posts = max(1, self.posts // divisor)
        return replace(self, posts=posts, shards=min(self.shards, posts))


_UNDISTURBED = Scenario(
    name="undisturbed", posts=20_000, shards=10, behavior=Behavior(latency_s=0.05), goal="1.15"
)
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        _UNDISTURBED,
        replace(_UNDISTURBED, name="killed", kills=True, goal="1.15"),
        replace(
            _UNDISTURBED,
            name="faults",
            behavior=Behavior(latency_s=0.05, errors=5, throttled=2),
            goal="1.2",
        ),
        Scenario(name="small", posts=1_000, shards=100, behavior=Behavior(), goal="1.3"),
    )
}
"""By name: nothing happens; kills; 5 % HTTP 500 and 2 % HTTP 429; many tasks without latency."""
