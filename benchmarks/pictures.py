"""Make the pictures of the documentation from a real run on a private Slurm, as root.

    .venv/bin/python -m benchmarks.pictures

A stand-in for Perspective labels the sample posts; one task is killed, so that there is something
to see. The terminal is drawn as SVG, the report is opened in a real Chromium. Takes two minutes.
"""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from PIL import Image
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.browser.chromium import Chromium, find_browser
from tests.servers.perspective import PerspectiveServer
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
from tests.slurm.private_cluster.commands import Bench

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
COLUMNS, LINES = 96, 50
PAGE_WIDTH, PAGE_HEIGHT = 800, 920
COLORS = 128
KEY, QUOTA = "AIza-of-the-picture", 3000
ATTRIBUTES = ["TOXICITY", "INSULT", "REASONING_EXPERIMENTAL"]

_OTHER_SEQUENCES = re.compile(r"\x1b\[[0-9;?]*[A-LN-Za-ln-z]|\x1b\][^\x07]*\x07|\r")
_THEME = TerminalTheme(
    (13, 17, 23),
    (230, 237, 243),
    [(72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34), (88, 166, 255),
     (188, 140, 255), (57, 197, 207), (177, 186, 196)],
    [(110, 118, 129), (255, 161, 152), (86, 211, 100), (227, 179, 65), (121, 192, 255),
     (210, 168, 255), (86, 212, 221), (255, 255, 255)],
)  # fmt: skip
# Rich's own format asks the network for a font.
_FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" \
xmlns="http://www.w3.org/2000/svg"><title>TITLE</title><style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; \
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style><defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" \
height="{terminal_height}"/></clipPath>{lines}</defs>
<rect fill="#0d1117" x="1" y="1" width="{width}" height="{height}" rx="8"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


def main() -> None:
    """Make all pictures."""
    browser = find_browser()
    assert browser, "there is no Chromium: bash .ci/install-chromium"
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, SlurmCluster(Path(place)) as cluster:
        folder = Path(place) / "study"
        folder.mkdir()
        bench = Bench(cluster, folder)
        bench.env["PERSPECTIVE_API_KEY"] = KEY
        with PerspectiveServer(key=KEY, quota=QUOTA, latency_s=0.2) as server:
            label(bench, server)
        open_report(bench, browser, Path(place))


def label(bench: Bench, server: PerspectiveServer) -> None:
    """Label the sample posts, and draw the terminal in the middle."""
    config = bench.config(
        ROOT / "configs" / "sample" / "posts.jsonl",
        sharding={"shards": 12},
        classifier={"type": "perspective", "base_url": server.url, "attributes": ATTRIBUTES,
                    "requests_per_minute": QUOTA, "quota_folder": str(bench.folder / "quota")},
        cluster={"cpus": 1, "max_parallel": 6},
    )  # fmt: skip
    named = ("--set", "name=toxicity")
    submitted = bench.document("submit", "--config", str(config), *named)
    (array,) = submitted["array_jobs"]
    wait_for(lambda: server.paid > QUOTA // 6, 120, "a fifth of the posts is labeled")
    kill_worker(array, 3)
    wait_for(lambda: server.paid > QUOTA // 2, 240, "half of the posts are labeled")
    draw_terminal(bench, ("status",), "status.svg")
    bench.document("supervise")


def kill_worker(array: int, task: int) -> None:
    """Kill what runs a task of this run, as a node that runs out of memory would."""
    wanted = {"SLURM_ARRAY_JOB_ID": str(array), "SLURM_ARRAY_TASK_ID": str(task)}
    for process in psutil.process_iter(["environ", "cmdline"]):
        environ, words = process.info["environ"] or {}, process.info["cmdline"] or []
        if "python" in " ".join(words[:1]) and wanted.items() <= environ.items():
            process.kill()


def draw_terminal(bench: Bench, words: Sequence[str], name: str) -> None:
    """Type a command, and draw what a terminal shows."""
    output = type_command(bench, [sys.executable, "-m", "hpc", *words])
    shown = clean(bench, f"$ hpc {' '.join(words)}\n{output}")
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False
    )
    console.print(Text.from_ansi(shown.rstrip()), soft_wrap=False)
    drawn = console.export_svg(
        theme=_THEME,
        code_format=_FORMAT.replace("TITLE", f"hpc {' '.join(words)}"),
        unique_id=name.removesuffix(".svg"),
    )
    (PICTURES / name).write_text(drawn, encoding="utf-8")
    print(f"wrote {PICTURES / name}: {len(drawn) / 1000:.0f} kB")


def clean(bench: Bench, text: str) -> str:
    """Return a text without this machine's folders and the names of its nodes."""
    text = _OTHER_SEQUENCES.sub("", text.replace(f"{bench.folder}/", ""))
    for number, node in enumerate(bench.cluster.node_names, 1):
        text = text.replace(node, f"node{number}")
    return text


def type_command(bench: Bench, command: Sequence[str]) -> str:
    """Return what a command writes to a terminal of its own."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    env = {**bench.env, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    env.pop("NO_COLOR", None)
    process = subprocess.Popen(
        command, cwd=bench.folder, env=env, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    parts: list[bytes] = []

    def read() -> None:
        try:
            while part := os.read(leader, 1 << 16):
                parts.append(part)
        except OSError:  # the terminal is gone once the command has ended
            return

    reader = threading.Thread(target=read)
    reader.start()
    process.wait()
    time.sleep(0.2)
    reader.join()
    os.close(leader)
    return b"".join(parts).decode()


def open_report(bench: Bench, browser: str, place: Path) -> None:
    """Write the report, and take a picture of its beginning in both modes."""
    made = bench.document("report", "toxicity")
    chromium = Chromium(browser, place / "chromium")
    for scheme in ("light", "dark"):
        chromium.open(Path(made["file"]), width=PAGE_WIDTH, height=PAGE_HEIGHT, scheme=scheme)
        # The beginning is text: the labels show more of what a page is.
        chromium.evaluate("document.getElementById('labels').scrollIntoView()")
        picture = Image.open(io.BytesIO(chromium.screenshot(whole=False))).convert("RGB")
        name = "report.png" if scheme == "light" else "report-dark.png"
        small = picture.quantize(COLORS, method=Image.Quantize.MEDIANCUT)
        small.save(PICTURES / name, optimize=True)
        print(f"wrote {PICTURES / name}: {(PICTURES / name).stat().st_size / 1000:.0f} kB")
    chromium.close()


if __name__ == "__main__":
    main()
