"""The command line that all verbs share: help, version, completion, exit codes, the verb's name."""

import importlib
import io
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pytest

import pipeline
from hpc.command_line import help_text
from hpc.command_line.cli import VERBS, build_parser
from tests.hpc.cli_bench import Bench, exit_code, valence_run
from tests.hpc.forked_verbs import ForkedVerbs
from tests.hpc.in_process import Done
from tests.waiting import PATIENCE_S

# Modules that take long to import, and that `hpc --help` does not need.
HEAVY = ("duckdb", "numpy", "pyarrow", "requests", "rich", "shtab", "yaml")


def run(bench: Bench, *command: str) -> Done:
    return subprocess.run(
        command, cwd=bench.folder, env={**bench.env, "COLUMNS": "100"}, capture_output=True,
        text=True, check=False, stdin=subprocess.DEVNULL, timeout=PATIENCE_S,
    )  # fmt: skip


def module(bench: Bench, *arguments: str) -> Done:
    return run(bench, sys.executable, "-m", "hpc", *arguments)


@pytest.mark.parametrize("asked", [[], ["-h"], ["--help"]])
def test_help_lists_every_verb_the_exit_codes_and_a_first_command(
    bench: Bench, asked: list[str]
) -> None:
    done = module(bench, *asked)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: hpc [-h] [--version] [--print-completion SHELL] VERB ...")
    for verb, summary in VERBS.items():
        assert f"\n    {verb:<20}{summary}\n" in done.stdout.replace(f"\n{' ' * 24}", " ")
    assert "\nexit codes:\n  0    done\n" in done.stdout
    assert done.stdout.endswith("\nfirst: hpc init, in the folder of your posts\n")


@pytest.mark.parametrize(
    ("name", "suggestion"), [("statsu", " (did you mean 'status'?)"), ("zzz", "")]
)
def test_an_unknown_verb_gets_the_nearest_one(bench: Bench, name: str, suggestion: str) -> None:
    done = module(bench, name, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: unknown verb {name!r}{suggestion}; hpc --help lists the verbs\n"
    )


WIDTH = 64


class Terminal(io.StringIO):
    """What a terminal of WIDTH columns shows."""

    def isatty(self) -> bool:
        return True


def shown_by(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[str]:
    """Return the lines that a terminal of WIDTH columns shows."""
    monkeypatch.setattr(help_text, "terminal_width", lambda stream: WIDTH)
    terminal = Terminal()
    with redirect_stdout(terminal), redirect_stderr(terminal), suppress(SystemExit):
        act()
    return terminal.getvalue().splitlines()


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_is_no_wider_than_the_terminal_but_for_commands(
    monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    verbs = [importlib.import_module(f"hpc.{verb}").VERB] if verb else []
    words = [*([verb] if verb else []), "--help"]
    lines = shown_by(monkeypatch, lambda: build_parser(verbs).parse_args(words))
    commands = [line for line in lines if line.startswith("  hpc ")]
    assert max(len(line) for line in lines if line not in commands) <= WIDTH
    assert max(map(len, commands), default=0) <= 80


def test_a_usage_error_is_no_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["ls", *(f"--no-such-option-{number}" for number in range(5))]
    lines = shown_by(monkeypatch, lambda: build_parser().parse_args(words))
    assert words[-1] in lines[-1]
    assert max(map(len, lines)) <= WIDTH


def test_a_message_from_before_a_verb_is_no_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = shown_by(monkeypatch, lambda: help_text.complain("error: " + "word " * 30))
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(lines).split() == ["error:", *["word"] * 30]


def test_ctrl_c_while_a_verb_is_imported_is_no_traceback(bench: Bench) -> None:
    done = run(
        bench, sys.executable, "-c",
        "import importlib, os, signal, sys\n"
        "from hpc.command_line import cli\n"
        "importlib.import_module = lambda name: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['hpc', 'status']\n"
        "cli.run_from_shell()",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted before anything was done\n"


def test_ctrl_c_while_a_module_of_a_verb_is_imported_is_no_traceback(bench: Bench) -> None:
    """`python -m hpc.VERB` imports the verb before any line of it runs."""
    (bench.folder / "duckdb.py").write_text(
        "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    )
    for verb in ("status", "try"):
        done = run(bench, sys.executable, "-m", f"hpc.{verb}")
        assert (done.returncode, done.stdout) == (130, ""), verb
        assert done.stderr == "interrupted before anything was done\n"


def test_importing_the_package_changes_no_signal_handler(bench: Bench) -> None:
    done = run(
        bench, sys.executable, "-c",
        "import signal; before = signal.getsignal(signal.SIGINT); import hpc.api\n"
        "assert signal.getsignal(signal.SIGINT) is before",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_after_the_work_of_a_verb_is_no_traceback(bench: Bench) -> None:
    done = run(
        bench, sys.executable, "-c",
        "import atexit, os, signal\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "from hpc.command_line import cli\n"
        "from hpc import schema\n"
        "cli.main(schema.VERB, [])",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_the_version_is_that_of_the_package(bench: Bench) -> None:
    done = module(bench, "--version")
    assert (done.returncode, done.stdout) == (0, f"hpc {pipeline.__version__}\n")


def test_bash_completes_verbs_options_and_files(bench: Bench) -> None:
    """The script runs in a real bash, as in a person's shell."""
    script = bench.folder / "completion.bash"
    script.write_text(module(bench, "--print-completion", "bash").stdout)
    (bench.folder / "mine.yaml").write_text("storage:\n  run_root: 'other'  # runs\n")

    make_run_folders(bench)

    def completions(*words: str) -> set[str]:
        typed = " ".join(f"'{word}'" for word in words)
        done = run(
            bench, "bash", "-c",
            f"source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; "
            "_hpc_complete hpc; printf '%s\\n' \"${COMPREPLY[@]}\"",
        )  # fmt: skip
        return set(done.stdout.split())

    assert completions("hpc", "su") == {"submit", "supervise"}
    assert completions("hpc", "status", "--w") == {"--watch"}
    (bench.folder / "mine.txt").write_text("")
    assert completions("hpc", "audit", "--config", "mi") == {"mine.yaml"}
    assert completions("hpc", "try", "mi") == {"mine.yaml"}
    assert completions("hpc", "submit", "--set", "cluster.exe") == {"cluster.executor="}
    assert completions("hpc", "submit", "--set", "cluster.executor", "=") == {"slurm", "local"}
    assert completions("hpc", "submit", "--set", "cluster.executor", "=", "l") == {"local"}
    assert completions("hpc", "submit", "--set", "=", "name") == {"name="}
    assert completions("hpc", "submit", "--set", "classifier.type", "=", "val") == {"valence"}
    assert completions("hpc", "submit", "--set", "name", "=", "x") == set()
    assert completions("hpc", "resubmit", "--set", "name", "=", "x", "tox") == {"toxicity"}
    assert completions("hpc", "init", "--account", "tox") == set()
    assert completions("hpc", "init", "--executor", "l") == {"local"}
    assert completions("hpc", "export", "tox") == {"toxicity"}
    assert completions("hpc", "status", "tox") == {"toxicity"}
    assert completions("hpc", "clean", "--yes", "20261129") == {RUN}
    assert completions("hpc", "status", "--run-root", "elsewhere", "2") == set()
    assert completions("hpc", "status", "--config", "mine.yaml", "2") == {OTHER}
    assert completions("hpc", "compare", "tox") == {"toxicity"}
    assert not (bench.folder / "pwned").exists()


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh on this machine")
def test_zsh_completes_runs(bench: Bench) -> None:
    """The functions run in a real zsh; `compadd` is its part."""
    script = bench.folder / "_hpc"
    script.write_text(module(bench, "--print-completion", "zsh").stdout)
    assert run(bench, "zsh", "-n", str(script)).returncode == 0
    make_run_folders(bench)
    done = run(
        bench, "zsh", "-f", "-c",
        f"compdef() {{ :; }}; eval \"$(cat {script})\"; "
        "compadd() { print -l -- ${(P)2}; }; words=(hpc status t); PREFIX=t; _hpc_complete_runs; "
        "words=(hpc status --run-root nowhere t); _hpc_complete_runs",
    )  # fmt: skip
    assert (set(done.stdout.split()), done.stderr) == ({"toxicity", RUN}, "")
    settings = run(
        bench, "zsh", "-f", "-c",
        f"compdef() {{ :; }}; eval \"$(cat {script})\"; "
        "compadd() { print -l -- ${(P)@[-1]}; }; compset() { [[ -n $IPREFIX ]]; }; "
        "_hpc_complete_settings; IPREFIX=cluster.executor=; _hpc_complete_settings",
    )  # fmt: skip
    assert settings.stderr == ""
    keys = settings.stdout.split()
    assert {"name", "cluster.executor", "classifier.model"} < set(keys)
    assert keys[-2:] == ["slurm", "local"]


RUN = "20261129T094423-toxicity-4ceaec33"
OTHER = "20261130T094423-valence-4ceaec34"


def make_run_folders(bench: Bench) -> None:
    hostile = "20261129T094423-$(touch pwned)-4ceaec33"
    for folder in (f"runs/{RUN}", f"runs/{hostile}", f"runs/{RUN}-copy", f"other/{OTHER}"):
        (bench.folder / folder).mkdir(parents=True)


@pytest.mark.parametrize(
    ("typed", "same"),
    [(["help"], ["--help"]), (["help", "status"], ["status", "--help"])],
)
def test_help_is_also_a_word(bench: Bench, typed: list[str], same: list[str]) -> None:
    done, expected = module(bench, *typed), module(bench, *same)
    assert (done.returncode, done.stdout) == (0, expected.stdout)
    assert module(bench, "help", "statsu").returncode == 2


def test_help_imports_nothing_that_it_does_not_need(bench: Bench) -> None:
    """Completion and help are used often: they should not wait for DuckDB and PyArrow."""
    program = (
        "import sys, hpc.command_line.cli; hpc.command_line.cli.build_parser().format_help(); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert bench.python(program).stdout == "[]\n"


def test_a_verb_starts_without_the_clients_of_object_stores(bench: Bench) -> None:
    """PyArrow's reader of Parquet files imports them, and a verb may read no such file itself."""
    program = "import sys, hpc.audit; print({'pyarrow.fs', 'ssl'} & set(sys.modules))"
    assert bench.python(program).stdout == "set()\n"


def test_the_installed_script_is_the_same_program(bench: Bench) -> None:
    script = Path(sys.executable).with_name("hpc")
    assert run(bench, str(script)).stdout == module(bench).stdout
    status = run(bench, str(script), "status")
    as_module = run(bench, sys.executable, "-m", "hpc.status")
    assert (status.returncode, status.stderr) == (as_module.returncode, as_module.stderr)
    assert status.returncode == 2


def test_every_verb_has_help_with_an_example_and_the_exit_codes(bench: Bench) -> None:
    out, err = bench.folder / "stdout", bench.folder / "stderr"
    with ForkedVerbs(bench.folder, {**bench.env, "COLUMNS": "100"}) as hpc:
        for verb in VERBS:
            code = hpc.run(["-m", f"hpc.{verb}", "--help"], out, err)
            assert (code, err.read_text()) == (0, ""), verb
            check_help(verb, out.read_text())


def check_help(verb: str, printed: str) -> None:
    assert printed.startswith(f"usage: hpc {verb} [-h]")
    summary = f"{VERBS[verb][0].upper()}{VERBS[verb][1:]}."
    assert f"\n{summary}\n" in printed
    assert f"\nexample:\n  hpc {verb}" in printed
    assert "--json" in printed
    assert printed.endswith(
        "exit codes:\n"
        "  0    done\n"
        "  1    something failed or needs your attention\n"
        "  2    usage, configuration or input is wrong\n"
        "  3    the run is still under way\n"
        "  130  interrupted\n"
    )


def test_help_does_not_depend_on_docstrings(bench: Bench) -> None:
    """`python -OO` removes them."""
    plain = run(bench, sys.executable, "-m", "hpc.status", "--help")
    optimized = run(bench, sys.executable, "-OO", "-m", "hpc.status", "--help")
    assert (optimized.returncode, optimized.stdout) == (0, plain.stdout)


def test_a_command_without_its_configuration_is_completed(bench: Bench) -> None:
    def missing(*words: str) -> str:
        done = bench.hpc(*words)
        assert exit_code(done) == 2
        problem, rest = done.stderr.split("\n", 1)
        assert problem == f"hpc {words[0]}: error: the following arguments are required: --config"
        return rest

    assert missing("check") == (
        "name your configuration: hpc check --config FILE\n"
        "there is none in this folder; to write one: hpc init\n"
    )
    bench.config()
    (bench.folder / "cluster.yaml").write_text("time: 60\n")
    assert missing("submit", "--set", "name=my trial") == (
        "run.yaml is here: hpc submit --config run.yaml --set 'name=my trial'\n"
    )
    (bench.folder / "a b.yml").write_text("name: a\nclassifier: {type: valence}\n")
    assert missing("audit") == (
        "these are here: a b.yml, run.yaml. For example: hpc audit --config 'a b.yml'\n"
    )


def test_wrong_usage_exits_with_code_2(bench: Bench) -> None:
    done = bench.hpc("status", "--config", "a.yaml", "--run-root", "runs")
    assert done.returncode == 2
    assert done.stderr.endswith("argument --run-root: not allowed with argument --config\n")
    for arguments, problem in (
        (["--wacth"], "--wacth (did you mean '--watch'?)"),
        (["--sizes=4", "run"], "--sizes=4"),
        (["run", "another"], "another"),
    ):
        done = bench.hpc("status", *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("usage: hpc status [-h] ")
        assert done.stderr.endswith(f"hpc status: error: unrecognized arguments: {problem}\n")


def test_a_reader_that_closes_the_pipe_early_causes_no_error_message(bench: Bench) -> None:
    valence_run(bench.folder, 4)
    command = f"{sys.executable} -m hpc.status | true; exit ${{PIPESTATUS[0]}}"
    done = run(bench, "bash", "-c", command)
    assert (done.stdout, done.stderr) == ("", "")


def test_without_a_run_a_verb_takes_the_newest_one_under_the_run_root(
    bench: Bench,
) -> None:
    older = valence_run(bench.folder, 4)
    newer = valence_run(bench.folder, 4, run_id="20240602T120000-valence-89abcdef")
    bench.config(storage={"run_root": "elsewhere"})
    (bench.folder / "elsewhere").mkdir()
    older.folder.rename(bench.folder / "elsewhere" / older.run_id)
    assert bench.document("status", code=1)["run_id"] == newer.run_id
    assert bench.document("status", "--config", bench.path, code=1)["run_id"] == older.run_id
    assert bench.document("status", "--run-root", "elsewhere", code=1)["run_id"] == older.run_id


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--time-min", "0"], "--time-min: should be a whole number, 1 or more, not '0'"),
        (["--mem-gb", "nan"], "--mem-gb: should be a number above 0, not 'nan'"),
        (["--mem-gb", "-4"], "--mem-gb: should be a number above 0, not '-4'"),
    ],
)
def test_zero_memory_or_time_is_rejected(bench: Bench, arguments: list[str], problem: str) -> None:
    done = bench.hpc("resubmit", *arguments)
    assert done.returncode == 2
    assert done.stderr.endswith(f"error: argument {problem}\n")
