"""A random schedule of disasters over one run, by a seed; then the run goes to its end, and the
figures are compared with what was promised.

    CHAOS_SEED=7 CHAOS_MINUTES=20 .venv/bin/python -m pytest -s -m chaos tests/slurm
"""

import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import duckdb

from tests.servers.perspective import score
from tests.slurm.chaos.acts import ACTS
from tests.slurm.chaos.site import CHECKPOINT_ROWS, IN_FLIGHT, Later, Site
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.daemons import SLOWNESS

TICK_S = 0.2
HURRY_S = 3.0
# From the last act to the end: the work left, a lost node, waits between attempts.
TAIL_S = 600.0 * SLOWNESS


class Schedule:
    """Each act once, in an order by the seed, then by weight until the time is over.

    Args:
        seconds: of the schedule; what is under way then is brought to its end all the same.
        again: whether acts are repeated for as long as there is time.
    """

    def __init__(self, seed: int, seconds: float, *, again: bool) -> None:
        self._chance = random.Random(seed)
        self._seconds = seconds
        self._again = again
        self._queue = list(ACTS)
        self._chance.shuffle(self._queue)
        # They take the longest, and the others should come while they are under way.
        self._queue.sort(key=lambda act: act.__name__ != "wake_a_stale_attempt")
        self._pause = seconds / (len(ACTS) + 1) if not again else 6.0
        self._later: list[tuple[float, Later]] = []
        self._began = self._next = 0.0
        self._over = False
        self.done: Counter[str] = Counter()

    def drive(self, site: Site) -> None:
        """Raises AssertionError where the run does not come to its end, or a person was needed."""
        self._began = time.monotonic()
        self._next = self._began + 5
        hurried = 0.0
        while True:
            now = time.monotonic()
            site.endpoint.keep_pace(self._progress(now), site.posts)
            self._do_what_is_due(site, now)
            if now >= self._next and self._acting(now) and self._act(site):
                self._next = now + self._chance.uniform(0.3, 1.4) * self._pause
            if now > hurried + HURRY_S:
                site.hurry()
                hurried = now
            code = site.supervisor.keep(site.run_dir)
            if code is not None and self._ended(site, code, now):
                return
            assert now < self._began + self._seconds + TAIL_S, "the run does not come to its end"
            time.sleep(TICK_S)

    def _progress(self, now: float) -> float:
        """Never 1 while there are acts to come: they need shards that live."""
        return min(0.9, (now - self._began) / self._seconds) if self._acting(now) else 1.0

    def _acting(self, now: float) -> bool:
        if self._over:
            return False
        return bool(self._queue) or (self._again and now < self._began + self._seconds)

    def _act(self, site: Site) -> bool:
        """The next act that finds something to do it to."""
        more = self._chance.choices(list(ACTS), list(ACTS.values()), k=len(ACTS))
        for act in (*self._queue, *(more if self._again else ())):
            done = act(site, self._chance)
            if done is None:
                continue
            if act in self._queue:
                self._queue.remove(act)
            message, later = done
            site.say(message)
            self.done[act.__name__] += 1
            self._later += [(time.monotonic() + act.seconds, act) for act in later]
            return True
        return False

    def _do_what_is_due(self, site: Site, now: float) -> None:
        for due in tuple(self._later):
            if now >= due[0] and (message := due[1].do()) is not None:
                self._later.remove(due)
                if message:
                    site.say(message)

    def _ended(self, site: Site, code: int, now: float) -> bool:
        """Whether the whole is over, now that the supervisor has ended by itself."""
        if code == 0:
            self._over = True
            return not self._later
        shown = site.bench.hpc("status", "--json", site.run_dir)
        status = json.loads(shown.stdout) if shown.stdout else {"shards": []}
        blocked = [shard for shard in status["shards"] if shard["state"] == "blocked"]
        for shard in blocked:
            if shard["cause"] != "cancelled" or shard["index"] not in site.toll.cancelled:
                site.toll.persons.append(f"shard {shard['index']}: {shard['message']}")
        assert not site.toll.persons, site.toll.persons
        if blocked and status["state"] == "blocked" and code == 1:
            forced = site.bench.hpc("resubmit", "--force", site.run_dir)
            indices = [shard["index"] for shard in blocked]
            site.say(f"resubmit --force of {indices}: {forced.returncode} {forced.stderr.strip()}")
            site.toll.forced += len(blocked) if forced.returncode == 0 else 0
            return False
        why = site.supervisor.last_words()
        site.say(f"the supervisor ended with {code}: {why}")
        site.supervisor.ended_early[why] += 1
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What came of it. `paid_times` counts posts by how often they were
    paid, `lives` tasks that may have been ended, by act; `attempts` those of
    the database, by cause, `slurm` the lives of their tasks by state."""

    posts: int
    rows: int
    uris: int
    labeled: int
    reasons: dict[str, int]
    wrong: int
    paid: int
    paid_times: dict[int, int]
    bound: int
    lives: dict[str, int]
    stale: int
    late: int
    redone: int
    attempts: dict[str, int]
    slurm: dict[str, int]
    faults: dict[str, int]
    acts: dict[str, int]
    cancelled: int
    forced: int
    supervisors: int
    ended_early: dict[str, int]
    audit: dict[str, Any]


def figures(site: Site, schedule: Schedule) -> Figures:
    toll, endpoint = site.toll, site.endpoint
    restarted = [
        json.loads(path.read_text())["restarted"]
        for path in (site.run_dir / "submissions").glob("0*.json")
    ]
    if put_back := sum(map(len, restarted)):
        toll.lives["put back since they stood still"] = put_back
    with duckdb.connect(str(site.database), read_only=True) as labels:
        rows = labels.execute(
            "SELECT uri, text, was_successfully_labeled, reason, prob_toxic FROM labels_test"
        ).fetchall()
        attempts = labels.execute(
            "SELECT coalesce(cause, 'published'), count(*) FROM attempts GROUP BY 1 ORDER BY 1"
        ).fetchall()
    expected = {uri: text for uri, text, _ in posts.rows(site.posts)}
    right = [
        expected.get(uri) == text and (not done or value == score(text, "TOXICITY"))
        for uri, text, done, _, value in rows
    ]
    return Figures(
        posts=site.posts,
        rows=len(rows),
        uris=len({row[0] for row in rows} & expected.keys()),
        labeled=sum(row[2] for row in rows),
        reasons=dict(Counter(row[3].partition(":")[0] for row in rows if not row[2])),
        wrong=right.count(False),
        paid=endpoint.paid,
        paid_times=dict(sorted(Counter(endpoint.paid_by_text.values()).items())),
        bound=toll.bound(site.posts, endpoint.late),
        lives=dict(toll.lives),
        stale=toll.stale,
        late=endpoint.late,
        redone=toll.redone,
        attempts=dict(attempts),
        slurm=site.lives(),
        faults=endpoint.given,
        acts=dict(schedule.done),
        cancelled=len(toll.cancelled),
        forced=toll.forced,
        supervisors=site.supervisor.started,
        ended_early=dict(site.supervisor.ended_early),
        audit=site.bench.document("audit", "--config", site.config),
    )


def describe_figures(seed: int, total: Figures) -> str:
    """The figures for a person, with the sum of which the bound is made."""
    lives = sum(total.lives.values())
    lines = [
        f"seed {seed}: {total.posts} posts, {total.rows} rows of {total.uris} posts, "
        f"{total.labeled} labeled, others: {total.reasons or 'none'}",
        f"paid {total.paid}, at most {total.bound} = {total.posts} posts + {lives} lives x "
        f"{IN_FLIGHT} in flight + {total.stale} stale attempts x ({CHECKPOINT_ROWS} checkpoint "
        f"rows + 2 x {IN_FLIGHT} in flight) + {total.late} answers that came too late + "
        f"{total.redone} posts of outputs that were cut",
        f"posts by how often they were paid: {total.paid_times}",
        f"lives that acts may have ended: {total.lives}",
        f"attempts by cause: {total.attempts}; lives by Slurm's state: {total.slurm}",
        f"acts: {total.acts}",
        f"faults of the endpoint: {total.faults}",
        f"supervisors started: {total.supervisors}; ended by themselves: {total.ended_early}",
        f"needed a person: {total.cancelled} shards cancelled on purpose ({total.forced} times)",
    ]
    return "\n".join(lines)
