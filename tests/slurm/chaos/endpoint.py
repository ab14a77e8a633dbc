"""The Perspective stand-in of a chaos run: faults by the seed, an outage, and a speed that lets the
shards live for as long as the schedule has acts to come."""

import random
import time

from tests.servers.perspective import Fault, PerspectiveServer

KEY = "chaos-key"
TIMEOUT_S = 12.0
QUICK_S, SLOW_S = 0.15, 5.0
FAULTS = ("429", "500", "503", "late", "cut", "cut in the answer", "invalid JSON")


class Endpoint(PerspectiveServer):
    """One request in `1 / rate` meets a fault, no post more than two of them in a row: the seventh
    would make a verdict of it, which is not what is tried here.

    `late` counts the answers that came after the client had given up: paid, and asked for again.
    """

    def __init__(self, seed: int, rate: float) -> None:
        super().__init__(key=KEY, faults=self._fault, latency_s=QUICK_S)
        self._seed = seed
        self._rate = rate
        self._out_until = 0.0
        self.late = 0
        self.given: dict[str, int] = {}

    def go_out(self, seconds: float) -> None:
        """503 to everybody, as behind a proxy whose service restarts."""
        self._out_until = time.monotonic() + seconds

    def keep_pace(self, progress: float, posts: int) -> None:
        """Slow while more of the posts are paid than of the schedule is over."""
        ahead = self.paid > posts * progress
        self.latency_s = SLOW_S if ahead and progress < 1 else QUICK_S

    def _fault(self, text: str, nth: int) -> Fault | None:
        if time.monotonic() < self._out_until:
            return self._counted("503 in an outage", Fault(status=503))
        chance = random.Random(f"{self._seed} {nth} {text}")
        if nth % 3 == 0 or chance.random() > self._rate:
            return None
        kind = chance.choice(FAULTS)
        match kind:
            case "429":
                fault = Fault(status=429, headers={"Retry-After": "1"})
            case "500" | "503":
                fault = Fault(status=int(kind))
            case "late":
                fault = Fault(delay_s=TIMEOUT_S + 2)
            case "cut":
                fault = Fault(cut_connection=True)
            case "cut in the answer":
                fault = Fault(body=b'{"attributeScores": {"TOXICITY": {', cut_connection=True)
            case _:
                fault = Fault(invalid_json=True)
        return self._counted(kind, fault)

    def _counted(self, kind: str, fault: Fault) -> Fault:
        with self.lock:
            self.given[kind] = self.given.get(kind, 0) + 1
            self.late += kind == "late"
        return fault
