import logging
import traceback
from pathlib import Path

import pytest

from pipeline.config.check import Problems
from pipeline.config.input_files import InputFiles
from pipeline.config.secret import NO_KEY, Secret, find_key, read_key
from pipeline.errors import InputError

KEY = "AIzaSy-very-secret"


def found(
    env: str | None = None, file: str | None = None, default_env: str | None = None
) -> tuple[str | None, str | None]:
    problems = Problems()
    inputs = InputFiles(source="run.yaml", path="classifier", folders=(), problems=problems)
    source = find_key(env=env, file=file, default_env=default_env, inputs=inputs)
    assert problems.found == []
    return source


def key_file(folder: Path, content: bytes) -> Path:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_a_key_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(KEY)
    logging.getLogger().warning("with %s and %r", secret, {"key": secret})
    try:
        raise ValueError(secret, [secret])
    except ValueError as error:
        trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    shown = [repr(secret), str(secret), f"{secret}", caplog.text, "".join(trace.format())]
    assert [KEY in text for text in shown] == [False] * 5
    assert repr(secret) == "Secret([key])"
    assert "Secret([key])" in shown[-1]
    assert not hasattr(secret, "__dict__")


def test_a_key_is_taken_out_of_what_others_say() -> None:
    secret = Secret(KEY)
    assert secret.redact(f"GET /?key={KEY} {KEY}") == "GET /?key=[key] [key]"
    assert NO_KEY.redact("nothing to hide") == "nothing to hide"
    assert secret.reveal() == KEY


@pytest.mark.parametrize("word", ["none", "EMPTY", "x", "1"])
def test_a_word_that_stands_for_no_key_is_left_in_what_others_say(word: str) -> None:
    """Servers without keys want any, such as `none`, which may be a label as well."""
    answer = '{"stance": "none", "n": 1, "why": "EMPTY, a mixed one"}'
    assert Secret(word).redact(answer) == answer


def test_only_the_name_of_a_variable_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    assert found(env="MY_KEY") == found(default_env="MY_KEY") == ("MY_KEY", None)
    assert read_key("MY_KEY", None).reveal() == KEY


def test_only_the_path_of_a_file_is_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = key_file(tmp_path, KEY.encode() + b"\n")
    monkeypatch.chdir(tmp_path)
    assert found(file="key", default_env="UNUSED") == (None, str(path))
    assert read_key(None, str(path)).reveal() == KEY


def test_without_any_key_there_is_none() -> None:
    assert found() == (None, None)
    assert read_key(None, None) is NO_KEY


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_variable_that_is_not_set_on_the_node_is_reported(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(InputError, match="MY_KEY"):
        read_key("MY_KEY", None)
