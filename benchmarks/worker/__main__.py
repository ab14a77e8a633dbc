"""Compare a task with bare scripts that do the same work, and with the quota that it has.

    python -m benchmarks.worker [--lines valence,requests,quota,start] [--rounds 5]
                                [--posts N] [--results FILE.json]

Every figure is a ratio within one run: the median over rounds in which ours and the reference take
turns. The services are processes of their own on loopback. All other files are in a temporary
folder.

    valence    posts per CPU second of a task; reference: VADER in a loop over the same texts
    requests   requests per CPU second, of a service without latency, at 64 and 512 in flight;
               references: requests with a thread pool, and urllib3 with one
    quota      requests per minute of one task under a quota of 6,000 a minute, at 300 ms; and CPU
    start      seconds from a task's start to its first request, without and with a quota;
               reference: `python -c pass`
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.paired import Figure, report
from benchmarks.worker import quota, start, valence, zero_latency


@dataclass(frozen=True, slots=True)
class Line:
    """One line of figures, and the posts that they are of."""

    measure: Callable[[Path, int, int], list[Figure]]
    posts: int


LINES: Mapping[str, Line] = {
    "valence": Line(valence.measure, 100_000),
    "requests": Line(zero_latency.measure, 20_000),
    "quota": Line(quota.measure, quota.QUOTA),
    "start": Line(start.measure, 10),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", default=",".join(LINES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--posts", type=int, help="of a task, instead of each line's own number")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    figures: list[Figure] = []
    for name in options.lines.split(","):
        line = LINES[name]
        with tempfile.TemporaryDirectory(prefix="hpc-bench-") as folder:
            figures += line.measure(Path(folder), options.rounds, options.posts or line.posts)
    report("A task and bare scripts", figures, options.results)


if __name__ == "__main__":
    main()
