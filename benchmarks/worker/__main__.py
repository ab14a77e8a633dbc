"""Compare a task with bare scripts that do the same work, and with the quota that it has.

    python benchmarks/worker [--lines valence,requests,quota,start] [--rounds 5] [--json FILE]

Every figure is a ratio within one run: the median over rounds in which ours and the reference take
turns. The services are processes of their own on loopback. All other files are in a temporary
folder.

    valence    CPU of a task with 100,000 posts; reference: VADER in a loop over the same texts
    requests   CPU per request against a service without latency, at 64 and 512 in flight;
               references: requests with a thread pool, and urllib3 with one
    quota      requests per minute of one task under a quota of 6,000 a minute, at 300 ms; and CPU
    start      seconds from a task's start to its first request, without and with a quota;
               reference: `python -c pass`
"""

import argparse
import json
import tempfile
from pathlib import Path

import quota
import start
import valence
import zero_latency

LINES = {
    "valence": valence.measure,
    "requests": zero_latency.measure,
    "quota": quota.measure,
    "start": start.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", default=",".join(LINES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--posts", type=int, help="of a task, instead of each line's own number")
    parser.add_argument("--json", type=Path, help="gets all figures")
    options = parser.parse_args()
    figures = {}
    for line in options.lines.split(","):
        with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
            figures[line] = LINES[line](Path(name), options.rounds, options.posts)
        for what, value in figures[line].items():
            print(f"{line:10} {what:44} {value:9.3f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
