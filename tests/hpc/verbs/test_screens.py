"""Whatever others wrote, and wherever it is shown: no verb breaks a terminal, or breaks at one."""

import json
import shlex
import shutil
import subprocess
import sys
from datetime import datetime

import pytest

from hpc.command_line.cli import SHELLS
from tests.hpc.cli_bench import Bench, exit_code
from tests.hpc.forked_verbs import PIPE, ForkedVerbs
from tests.hpc.in_process import Done
from tests.pipeline.run_builders import SourcePost
from tests.pipeline.test_terminal import unsafe
from tests.servers.perspective import Fault, PerspectiveServer

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\u200b\r\nerror: 你好 🦋 é"
URI = f"at://1{HOSTILE}"
KEY = "AIzaSyDistinctive-Key_0123456789abcdefg"


def hostile_error(text: str, times: int) -> Fault:
    """A service that wants to be read on a terminal."""
    return Fault(status=403, body={"error": {"code": 403, "message": HOSTILE}})


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A folder with a run in which everything that others wrote is hostile."""
    bench = Bench(tmp_path_factory.mktemp("original"))
    bench.backlog([SourcePost(URI, f"a day {HOSTILE}", datetime(2024, 6, 1))])
    with PerspectiveServer(key=KEY, faults=hostile_error) as server:
        bench.config(
            name="hostile",
            sharding={"shards": 1},
            classifier={"type": "unpaced_perspective", "base_url": server.url},
            retry={"max_attempts": 1},
        )
        done = bench.hpc("submit", "--config", bench.path, env={"PERSPECTIVE_API_KEY": KEY})
    assert exit_code(done) == 1
    assert unsafe(done.stdout + done.stderr) == []
    return bench


@pytest.fixture
def hostile(original: Bench, bench: Bench) -> Bench:
    """A copy of it."""
    shutil.copytree(original.folder, bench.folder, dirs_exist_ok=True)
    return bench


VERBS = {
    "status": (),
    "logs": ("0",),
    "audit": ("--config", "run.yaml"),
    "audit of a post": ("--config", "run.yaml", "--post", URI),
    "resubmit": ("--dry-run",),
    "gather": (),
    "supervise": ("--once",),
    "cancel": (),
    "status of no run": (HOSTILE,),
    "audit of no post": ("--config", "run.yaml", "--post", HOSTILE),
    "submit of no file": ("--config", HOSTILE),
    "submit of a wrong key": ("--config", "run.yaml", "--set", f"{HOSTILE}=1", "--dry-run"),
    "submit of a wrong value": ("--config", "run.yaml", "--set", f"name='{HOSTILE}'"),
    "gather with an unknown option": (f"--{HOSTILE}",),
}


@pytest.mark.parametrize("case", VERBS)
def test_no_verb_prints_what_controls_a_terminal(hostile: Bench, case: str) -> None:
    verb = case.split()[0]
    for more in ((), ("--json",), ("--debug",)):
        done = hostile.hpc(verb, *VERBS[case], *more, env={"PERSPECTIVE_API_KEY": KEY})
        assert unsafe(done.stdout + done.stderr) == []
        assert more == ("--debug",) or "Traceback" not in done.stderr


def test_json_holds_the_very_characters(hostile: Bench) -> None:
    document = hostile.hpc("audit", *VERBS["audit of a post"], "--json").stdout
    assert document.isascii()
    assert json.loads(document)["uri"] == URI


def run(bench: Bench, command: str, **env: str) -> Done:
    """Run a line of bash in which `hpc` is this program."""
    program = f'hpc() {{ {shlex.quote(sys.executable)} -m hpc "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", program + command], cwd=bench.folder, env={**bench.env, **env}, check=False,
        capture_output=True, stdin=subprocess.DEVNULL, timeout=120, text=True, errors="replace",
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict", "utf-8:strict"])
def test_an_encoding_without_these_characters_ends_no_verb(hostile: Bench, encoding: str) -> None:
    out, err = hostile.folder / "stdout", hostile.folder / "stderr"
    codes, said, problems = [], "", ""
    with ForkedVerbs(hostile.folder, {**hostile.env, "PYTHONIOENCODING": encoding}) as hpc:
        for words in (
            ["logs", "0"], ["audit", "--config", "run.yaml", "--post", URI], ["supervise", "--once"]
        ):  # fmt: skip
            codes.append(hpc.run(words, out, err))
            said += out.read_text(errors="replace")
            problems += err.read_text(errors="replace")
    assert "Traceback" not in said + problems
    shown = "你好" if encoding.startswith("utf") else "\\u4f60\\u597d"
    assert said.count(shown) >= 2
    assert codes == [0, 1, 1]


def test_an_encoding_without_these_characters_ends_no_task(bench: Bench) -> None:
    """Its classifier's messages go to a log in the encoding of the node."""
    program = (
        "from pipeline.terminal import use_clean_streams\n"
        "use_clean_streams(); print('你好 4→8 ±1\\x1b[2J'); import sys; print('é', file=sys.stderr)"
    )
    done = run(bench, f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}",
               PYTHONIOENCODING="ascii")  # fmt: skip
    assert (done.stdout, done.stderr) == ("\\u4f60\\u597d 4->8 +/-1\n", "\\xe9\n")


COMMANDS = (
    *(f"--print-completion {shell}" for shell in SHELLS),
    "--help", "--version", "status", "status --json", "status --help", "logs 0", "schema",
    "audit --config run.yaml", "schema --reference", "gather", "supervise --once", "nonsense",
)  # fmt: skip


def test_a_closed_pipe_ends_every_verb_quietly(hostile: Bench) -> None:
    """Streams with a buffer fail when the process ends, streams without one while it prints."""
    err = hostile.folder / "stderr"
    with ForkedVerbs(hostile.folder, {**hostile.env, "PYTHONUNBUFFERED": ""}) as hpc:
        for command in COMMANDS:
            hpc.run(command.split(), PIPE, err)
            for word in ("Traceback", "BrokenPipe", "Exception ignored"):
                assert word not in err.read_text(), command
    with ForkedVerbs(hostile.folder, {**hostile.env, "PYTHONUNBUFFERED": "1"}) as hpc:
        for command in ("status", "logs 0", "audit --config run.yaml", "gather", "nonsense"):
            assert hpc.run(command.split(), PIPE, PIPE) in (0, 1, 2), command
            hpc.run(command.split(), PIPE, err)
            assert "Traceback" not in err.read_text(), command


def test_a_reader_that_ends_early_is_no_error_of_a_real_pipe(hostile: Bench) -> None:
    done = run(hostile, "hpc status | true; hpc status 2>&1 | true", PYTHONUNBUFFERED="")
    assert (done.stdout, done.stderr) == ("", "")


def test_output_that_cannot_be_written_is_an_error(bench: Bench) -> None:
    for command in ("hpc schema", "hpc --print-completion bash"):
        full = run(bench, f"{command} > /dev/full; echo $?")
        assert full.stdout == "1\n"
        assert full.stderr.startswith("error: ")
        assert full.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_output_that_nobody_takes_is_dropped(bench: Bench, closed: str) -> None:
    done = run(bench, f"hpc --version {closed}; echo $? >&2; hpc nonsense {closed}; echo $? >&2")
    assert done.stderr.split()[-1] == "2"
    assert "Traceback" not in done.stderr
