"""A notebook shows messages, bars and a run; without IPython, everything is a line of text."""

import itertools
import queue
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpc import api
from hpc.api.notebook_screen import PATIENCE_S, NotebookScreen
from hpc.display.blocks import Line, Table
from hpc.display.html.render import to_html
from tests.docs.pages import ROOT
from tests.hpc.api.conftest import CONFIG

PATIENCE = 120
WITHOUT_IPYTHON = """
import sys
sys.modules["IPython"] = None
from hpc import api
say = api.notebook()
api.wait(say=say)
say("a message")
"""


class KeptArea:
    """Keeps what an area has shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []

    def show(self, html: str, text: str) -> None:
        self.shown.append((html, text))


class Bench:
    """A notebook screen whose areas and clock are the test's."""

    def __init__(self) -> None:
        self.areas: list[KeptArea] = []
        self.now = 0.0
        self.screen = NotebookScreen(self._area, lambda: self.now)

    def _area(self) -> KeptArea:
        self.areas.append(KeptArea())
        return self.areas[-1]


def test_a_step_that_is_done_quickly_shows_nothing() -> None:
    bench = Bench()
    with bench.screen.step("writing shards", total=2, unit="shard") as step:
        step.advance(1)
        step.advance(2)
    assert bench.areas == []


def test_a_long_step_shows_a_bar_which_is_removed_at_the_end() -> None:
    bench = Bench()
    with bench.screen.step("writing shards", total=1000, unit="shard") as step:
        bench.now = PATIENCE_S + 1
        step.advance(250)
        step.advance(251)  # too soon to be drawn
    (area,) = bench.areas
    (drawn, text), end = area.shown
    assert 'value="0.2500"' in drawn
    assert text == "writing shards: 250 of 1,000 shards"
    assert end == ("", "")


def test_what_others_wrote_is_escaped() -> None:
    evil = "<script>alert('x')</script>\x1b[2J\u202e&"
    html = to_html([Line(evil), Table(header=(evil,), rows=((evil,),))])
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;") == 3


def test_a_status_is_a_table_in_a_notebook(project: Path) -> None:
    html = api.status()._repr_html_()
    assert "<table>" in html
    assert "complete" in html


def test_without_ipython_lines_are_printed(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_IPYTHON],
        cwd=project, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "a message"
    assert "complete" in done.stdout


class Kernel:
    """A kernel of Jupyter that runs cells."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def run(self, code: str) -> list[tuple[str, Any]]:
        """Run a cell, and return the kind and the content of each of its outputs."""
        request = self._client.execute(code)
        outputs: list[tuple[str, Any]] = []
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(outputs) from None
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return outputs
            outputs.append((kind, content))


@pytest.fixture
def kernel(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    pytest.importorskip("ipykernel")
    manager = pytest.importorskip("jupyter_client.manager")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    started, client = manager.start_new_kernel(
        kernel_name="python3", cwd=str(project), startup_timeout=PATIENCE
    )
    yield Kernel(client)
    client.stop_channels()
    started.shutdown_kernel(now=True)


def test_cells_of_a_real_kernel_show_a_run_and_its_labels(kernel: Kernel, project: Path) -> None:
    shutil.rmtree(project / "runs")
    (project / "labels.duckdb").unlink()
    cells = [
        "from hpc import api",
        f"run = api.submit({CONFIG!r}, selection=api.Selection(limit=20), say=api.notebook())",
        "api.status(run)",
        "api.check('configs/quickstart.yaml', ask_service=False)",
        "api.ls()",
        "api.logs(run, [0])",
        "import duckdb; held = duckdb.connect('labels.duckdb', read_only=True)\n"
        "api.labels('valence').num_rows",
        "try:\n    api.gather(run)\nexcept api.BusyError as error:\n    print('busy')",
    ]
    outputs = [kernel.run(cell) for cell in cells]
    assert [content for kind, content in itertools.chain(*outputs) if kind == "error"] == []
    submitted, status, checked, listed, logs, labels, gathered = outputs[1:]
    for outputs_of_cell in (checked, listed, logs):
        (result,) = [content for kind, content in outputs_of_cell if kind == "execute_result"]
        assert result["data"]["text/html"].startswith("<div>")
        assert len(result["data"]["text/plain"]) < 200
    shown = [content for kind, content in submitted if kind == "display_data"]
    assert any("text/html" in content["data"] for content in shown)
    assert all(content["data"]["text/plain"] for content in shown)
    assert any(kind == "stream" for kind, _ in submitted)
    (html,) = [c["data"]["text/html"] for kind, c in status if kind == "execute_result"]
    assert "complete" in html
    (rows,) = [c["data"]["text/plain"] for kind, c in labels if kind == "execute_result"]
    assert rows == "20"
    assert [c["text"] for kind, c in gathered if kind == "stream"] == ["busy\n"]
