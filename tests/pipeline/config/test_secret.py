import logging
import traceback
from pathlib import Path

import pytest

from pipeline.config.secret import NO_KEY, Secret, frozen_key_options, read_key
from pipeline.config.section import Section
from pipeline.errors import InputError

KEY = "AIzaSy-very-secret"


def frozen(values: dict[str, str], default_env: str | None = None) -> dict[str, str]:
    section = Section(values, path="classifier", source="run.yaml", folders=())
    options = frozen_key_options(section, default_env=default_env)
    section.done()
    return options


def refusal(values: dict[str, str], default_env: str | None = None) -> str:
    with pytest.raises(InputError) as refused:
        frozen(values, default_env)
    return str(refused.value)


def key_file(folder: Path, content: bytes = KEY.encode(), mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
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
    options = frozen({"api_key_env": "MY_KEY"})
    assert options == {"api_key_env": "MY_KEY"}
    assert read_key(options).reveal() == KEY
    assert frozen({}, default_env="MY_KEY") == {"api_key_env": "MY_KEY"}


def test_only_the_path_of_a_file_is_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = key_file(tmp_path, KEY.encode() + b"\n")
    monkeypatch.chdir(tmp_path)
    options = frozen({"api_key_file": "key"}, default_env="UNUSED")
    assert options == {"api_key_file": str(path)}
    assert read_key(options).reveal() == KEY


def test_without_any_key_there_is_none() -> None:
    assert frozen({}) == {}
    assert read_key({}) is NO_KEY


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_variable_that_is_not_set_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    problem = (
        "the environment variable MY_KEY is not set: "
        "set it to the API key (export, or a mode-600 file)"
    )
    assert refusal({"api_key_env": "MY_KEY"}) == f"run.yaml: classifier.api_key_env: {problem}"
    with pytest.raises(InputError) as refused:
        read_key({"api_key_env": "MY_KEY"})
    assert str(refused.value) == problem


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o601])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, mode=mode)
    assert refusal({"api_key_file": str(path)}) == (
        f"run.yaml: classifier.api_key_file: {path} can be read by others: chmod 600 {path}"
    )


@pytest.mark.parametrize("content", [KEY.encode() + b"\xff", b"two words", "schlüssel".encode()])
def test_what_no_header_can_carry_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = key_file(tmp_path, content)
    assert refusal({"api_key_file": str(path)}) == (
        f"run.yaml: classifier.api_key_file: the key file {path} holds characters that no HTTP "
        "header can carry"
    )


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no"
    assert refusal({"api_key_file": str(path)}) == (
        f"run.yaml: classifier.api_key_file: the key file {path} cannot be read: "
        "No such file or directory"
    )


def test_the_key_itself_in_the_configuration_is_refused_and_not_shown() -> None:
    for key in (KEY, "AIzaSy_a_key_of_letters_and_digits_4711"):
        assert refusal({"api_key_env": key}) == (
            "run.yaml: classifier.api_key_env: should be the name of an environment variable, "
            "in capitals, never the key itself"
        )


def test_a_variable_and_a_file_at_once_are_refused(tmp_path: Path) -> None:
    values = {"api_key_env": "MY_KEY", "api_key_file": str(key_file(tmp_path))}
    assert refusal(values) == (
        "run.yaml: classifier.api_key_file: give either api_key_env or api_key_file, not both"
    )
