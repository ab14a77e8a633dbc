"""What mistakes in the section `classifier` are answered with."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InputError
from pipeline.model import ENVELOPE, PROVENANCE
from tests.pipeline.classifiers.classifier_setup import configured

KEY = "AIzaSy-very-secret"
COMMIT = "4d6c22e74ba2fdd26bc4f7238f50766b045a0d94"
CIVIC = {"name": "civic", "type": "bool"}
CHOICE = {"name": "side", "type": "choice", "choices": ["left", "right"]}
COMMAND = ["vllm", "serve", "{model}", "--port", "{port}"]
NOT_SET = "is not set: set it to the API key (export, or a mode-600 file)"
KEEP_OUT = (
    "looks like a secret, which the run's folder would keep: export it where you submit; the "
    "server has the task's environment"
)
PLACEHOLDERS = "known: {port}, {host}, {model}, {scratch}"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERSPECTIVE_API_KEY", KEY)
    (tmp_path / "prompt.txt").write_text("Is it civic?")
    return tmp_path


def rejection(values: Mapping[str, Any]) -> str:
    """Return the message, without the file's name where it begins with it."""
    with pytest.raises(InputError) as rejected:
        configured(values, Path.cwd())
    assert KEY not in str(rejected.value)
    return str(rejected.value).removeprefix("run.yaml: ").removeprefix("classifier.")


def perspective(**keys: Any) -> dict[str, Any]:
    return {"type": "perspective", **keys}


def llm(**keys: Any) -> dict[str, Any]:
    own = {"base_url": "http://h", "model": "m", "prompt": "prompt.txt", "labels": [CIVIC]}
    return {"type": "llm", **own, **keys}


def with_server(**keys: Any) -> dict[str, Any]:
    return {**llm(server={"command": COMMAND, **keys}), "base_url": None}


def with_label(**keys: Any) -> dict[str, Any]:
    return llm(labels=[CIVIC, {"name": "toxic", "type": "bool", **keys}])


def transformers(**keys: Any) -> dict[str, Any]:
    return {"type": "transformers", "model": "a/b", "revision": COMMIT, **keys}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {},
            "type: is missing: it is one of external, guard, llm, moderation, perspective, "
            "transformers, valence",
        ),
        (
            {"type": "valance"},
            "type: should be one of external, guard, llm, moderation, perspective, transformers, "
            "valence, not 'valance' (did you mean 'valence'?)",
        ),
        ({"type": "valence", "threshold": 0.1}, "threshold: unknown key"),
        ({"type": "valence", "version": "1"}, "version: unknown key"),
        ({"type": "valence", "keep_raw": 1}, "keep_raw: should be true or false, not 1"),
    ],
)
def test_of_every_classifier(values: dict[str, Any], message: str) -> None:
    assert rejection(values) == message


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"attributes": []},
            "attributes: should be a list of 1 or more of TOXICITY, SEVERE_TOXICITY, "
            "IDENTITY_ATTACK, INSULT, PROFANITY, THREAT, AFFINITY_EXPERIMENTAL, "
            "COMPASSION_EXPERIMENTAL, CURIOSITY_EXPERIMENTAL, NUANCE_EXPERIMENTAL, "
            "PERSONAL_STORY_EXPERIMENTAL, REASONING_EXPERIMENTAL, RESPECT_EXPERIMENTAL, "
            "ALIENATION_EXPERIMENTAL, FEARMONGERING_EXPERIMENTAL, GENERALIZATION_EXPERIMENTAL, "
            "MORAL_OUTRAGE_EXPERIMENTAL, SCAPEGOATING_EXPERIMENTAL, SEXUALLY_EXPLICIT, "
            "FLIRTATION, SPAM, not []",
        ),
        ({"attributes": ["SPAM", "SPAM"]}, "attributes: should name each attribute once"),
        (
            {"requests_per_minute": 0},
            "requests_per_minute: should be a whole number, 1 or more, not 0",
        ),
        ({"path": "score"}, "path: should be a path that begins with /, not 'score'"),
        *(
            (
                {"path": path},
                "path: should hold no ?query, because the run's folder keeps it: an API key is "
                "sent in the header that key_header names",
            )
            for path in (f"/score?key={KEY}", "/score#now")
        ),
        *(
            (
                {"path": path},
                f"path: should hold visible ASCII characters only, and no backslash: {path!r}",
            )
            for path in ("/a b", "/a\\b", "/a\n", "/é", "/\x7f")
        ),
        *(
            ({"path": path}, f"path: should have no . or .. between slashes: {path!r}")
            for path in ("/v2/../x", "/./x", "/x/..", "/%2e%2E/x")
        ),
        *(
            (
                {"key_header": name},
                "key_header: should be the name of a header, such as X-Goog-Api-Key or "
                "Authorization: letters, digits and -, without a value",
            )
            for name in ("X-Key:", "X Key", "X-Key\r\nHost: h", "Clé", f"X-Key: {KEY}", "a\n")
        ),
        *(
            ({"key_header": name}, f"key_header: cannot be {name}, which HTTP itself uses")
            for name in (
                "Host",
                "content-length",
                "Transfer-Encoding",
                "Proxy-Authorization",
                "Content-Type",
                "Accept-Encoding",
                "CONNECTION",
            )
        ),
        (
            {"key_header": KEY},
            "key_header: holds the API key, which the run's folder would keep: remove it",
        ),
        ({"base_url": "h"}, "base_url: should begin with http:// or https://, not 'h'"),
        (
            {"base_url": f"https://h/?key={KEY}"},
            "base_url: should hold no secret, because the run's folder keeps it, and ?key= looks "
            "like one: an API key belongs in api_key_env or api_key_file",
        ),
        (
            {"base_url": f"https://me:{KEY}@h"},
            "base_url: should hold no user or password, because the run's folder keeps it: an API "
            "key belongs in api_key_env or api_key_file",
        ),
        (
            {"base_url": f"me:{KEY}@h?key={KEY}"},
            "base_url: should begin with http:// or https://, not '…@h?key=…'",
        ),
        (
            {"base_url": "https://h/#part"},
            "base_url: should hold no #fragment, which no service gets to see",
        ),
        (
            {"base_url": "https://h:99999"},
            "base_url: should name a host, and a port from 1 to 65535 if any: 'https://h:99999'",
        ),
        (
            {"api_key_env": "NOT_SET_ANYWHERE"},
            f"api_key_env: the environment variable NOT_SET_ANYWHERE {NOT_SET}",
        ),
        (
            {"api_key_env": KEY},
            "api_key_env: should be the name of an environment variable, in capitals, never the "
            "key itself",
        ),
        (
            {"api_key_env": "A", "api_key_file": "key"},
            "api_key_file: give either api_key_env or api_key_file, not both",
        ),
    ],
)
def test_of_perspective(keys: dict[str, Any], message: str) -> None:
    assert rejection(perspective(**keys)) == message


def test_an_attribute_that_does_not_exist_is_answered_with_the_nearest() -> None:
    message = rejection(perspective(attributes=["SPAM", "TOXIC"]))
    assert message.startswith("attributes[1]: should be one of TOXICITY, ")
    assert message.endswith(", not 'TOXIC' (did you mean 'TOXICITY'?)")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://h", "https://", "https:// h", "/"])
def test_an_address_has_to_be_one(url: str) -> None:
    assert rejection(perspective(base_url=url)) == (
        f"base_url: should begin with http:// or https://, not {url.rstrip('/')!r}"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": "llm"}, "3 problems"),
        (
            llm(prompt="p.txt"),
            "prompt: there is no file {folder}/p.txt",
        ),
        (llm(labels=[]), "labels: should be a list of 1 or more mappings of keys, not []"),
        (llm(labels={}), "labels: should be a list of 1 or more mappings of keys, not {{}}"),
        (llm(labels=[CIVIC, CIVIC]), "labels: 'civic' is declared twice"),
        (
            llm(structured_output="json"),
            "structured_output: should be one of auto, json_schema, json_object, "
            "structured_outputs, none, not 'json'",
        ),
        (
            llm(posts_per_prompt=21),
            "posts_per_prompt: should be a whole number, 1 or more, at most 20, not 21",
        ),
        (
            llm(scores=True, labels=[{"name": "a", "type": "text"}]),
            "scores: no label is of type bool or choice: only those have scores",
        ),
        (
            llm(scores=True, labels=[CIVIC, {"name": "civic_prob", "type": "number"}]),
            "labels: 'civic_prob' is the column of a label's score, too",
        ),
        (
            llm(scores=True, labels=[{**CHOICE, "choices": ["null", None]}]),
            "labels: side: null and 'null' have one score",
        ),
        (
            llm(scores=True, top_logprobs=1),
            "top_logprobs: should be a whole number, 2 or more, not 1",
        ),
        (llm(top_logprobs=5), "top_logprobs: has no effect without scores: true"),
        (llm(price={"prompt": 1}), "price.completion: is missing"),
        (
            llm(price={"prompt": -1, "completion": 1}),
            "price.prompt: should be a number, 0 or more, not -1",
        ),
        (
            llm(price={"prompt": "1", "completion": float("inf")}),
            "2 problems",
        ),
        (
            llm(price={"prompt": 1, "completion": 1, "currency": "$"}),
            "price.currency: should be three letters, not '$'",
        ),
        (llm(price=0.15), "price: should be a mapping of keys, not 0.15"),
        (
            {**llm(), "base_url": None},
            "base_url: is missing; or give server, which each task starts for itself",
        ),
        (
            {**llm(base_ulr="http://h"), "base_url": None},
            "base_ulr: unknown key (did you mean 'base_url'?)",
        ),
        (llm(request=[1]), "request: should be a mapping, not [1]"),
        (llm(request={1: 2}), "request: should be text (quote it), not 1"),
        (
            llm(request={"a": float("nan")}),
            "request.a: should be a value of JSON: text, a finite number, true, false, null, a "
            "list or mapping, not nan",
        ),
        (llm(request={"max_tokens": 5}), "request.max_tokens: is set by classifier.max_tokens"),
        (
            llm(request={"Temperature": 1}),
            "request.Temperature: is set by classifier.temperature (null sends none)",
        ),
        (
            llm(request={"messages": []}),
            "request.messages: is what the program sends: classifier.prompt, the labels and the "
            "post",
        ),
        (
            llm(request={"stream": False}),
            "request.stream: cannot be set, because an answer is read whole: leave it out",
        ),
        (
            llm(request={"n": 1}),
            "request.n: cannot be set, because one answer is read: classifier.answer_tries says "
            "how often to ask",
        ),
        (
            llm(request={"tools": []}),
            "request.tools: cannot be set, because labels are read from the message, and a tool "
            "call has none",
        ),
        (
            llm(request={"a": {"api_key": KEY}}),
            "request.a.api_key: looks like a secret, which the run's folder would keep: an API "
            "key belongs in classifier.api_key_env or classifier.api_key_file",
        ),
        (
            llm(request={"a": [date(2026, 11, 30)]}),
            "request.a[0]: is a date, which JSON does not have: write it in quotes ('2026-11-30')",
        ),
        (
            llm(request={"a": b"x"}),
            "request.a: is binary data, which JSON does not have: write it as text",
        ),
        (
            llm(request={"a": {"x"}}),
            "request.a: is a set, which JSON does not have: write a list",
        ),
        (
            llm(request={"a": [float("inf")]}),
            "request.a[0]: should be a number of JSON, not inf",
        ),
        (
            llm(request={"a": 2**64}),
            "request.a: should have at most 64 bits, as a number of any server has",
        ),
        (
            llm(request={"a": {1: 2}}),
            "request.a: the key 1 should be text: put it in quotes",
        ),
        (llm(request={"a": {"": 2}}), "request.a: holds a key without a name"),
        (
            llm(request={"a": "x" * 2**16}),
            "request: should be at most 64 KiB as JSON",
        ),
        (
            llm(server={"command": COMMAND}),
            "base_url: give either base_url or server, not both",
        ),
        (
            {**with_server(), "requests_per_minute": 60},
            "requests_per_minute: a server of the task's own has no quota",
        ),
    ],
)
def test_of_an_llm(in_a_folder: Path, values: dict[str, Any], message: str) -> None:
    assert rejection(values).splitlines()[0] == message.format(folder=in_a_folder)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": "Two Words"}, "name: should be a lower-case column name of its own, not "
         "'Two Words'"),
        ({"type": "boolean"}, "type: should be one of choice, bool, number, text, not 'boolean' "
         "(did you mean 'bool'?)"),
        ({"type": "choice"}, "choices: should be a list of 2 or more, not []"),
        ({"type": "choice", "choices": ["left"]},
         "choices: should be a list of 2 or more, not ['left']"),
        ({"type": "choice", "choices": ["a", True]},
         "choices[1]: should be text (quote it), not True"),
        ({"type": "choice", "choices": ["a", "b", "a"]}, "choices: 'a' occurs twice"),
        ({"type": "number", "minimum": 2, "maximum": 1}, "maximum: should be 2 or more, not 1"),
        ({"type": "text", "max_length": 0},
         "max_length: should be a whole number, 1 or more, not 0"),
        ({"minimum": 0}, "minimum: only a label of type number has it, not bool"),
        ({"type": "number", "choices": ["a", "b"]},
         "choices: only a label of type choice has it, not number"),
    ],
)  # fmt: skip
def test_of_a_label(keys: dict[str, Any], message: str) -> None:
    assert rejection(with_label(**keys)) == f"labels[1].{message}"


@pytest.mark.parametrize(
    "name",
    [
        *(field.name for field in (*ENVELOPE, *PROVENANCE)),
        *("llm_model_name", "llm_prompt_tokens", "response", "superseded_at"),
    ],
)
def test_a_label_cannot_have_the_name_of_another_column(name: str) -> None:
    assert rejection(with_label(name=name)) == (
        f"labels[1].name: should be a lower-case column name of its own, not {name!r}"
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"command": []},
            "command: should be a list of 1 or more texts, not []",
        ),
        (
            {"command": ["vllm", "serve"]},
            'command: should hold "{port}", in quotes: each task has a free port of its own',
        ),
        (
            {"command": ["vllm", {"port": None}]},
            "command[1]: should be text (\"{port}\" in quotes), not {'port': None}",
        ),
        (
            {"command": "vllm serve"},
            "command: should be a list of 1 or more texts, not 'vllm serve'",
        ),
        ({"tuning": [True]}, 'tuning[0]: should be text ("{port}" in quotes), not True'),
        ({"tuning": [f"--api-key={KEY}"]}, f"tuning: --api-key {KEEP_OUT}"),
        ({"env": {"HF_TOKEN": KEY}}, f"env.HF_TOKEN: HF_TOKEN {KEEP_OUT}"),
        ({"env": ["A=1"]}, "env: should be a mapping, not ['A=1']"),
        ({"ready": "health"}, "ready: should be a path that begins with /, not 'health'"),
        (
            {"command": ["vllm", "--port={prot}", "{port}"]},
            f"command: nothing fills in {{prot}} (did you mean {{port}}?); {PLACEHOLDERS}",
        ),
        (
            {"tuning": ["--tensor-parallel-size", "{gpus}"]},
            f"tuning: nothing fills in {{gpus}}; {PLACEHOLDERS}",
        ),
        (
            {"env": {"HF_HOME": "{Scratch}"}},
            f"env.HF_HOME: nothing fills in {{Scratch}} (did you mean {{scratch}}?); "
            f"{PLACEHOLDERS}",
        ),
        (
            {"ready_seconds": 0},
            "ready_seconds: should be a number, more than 0, at most 10,000,000, not 0",
        ),
        ({"redy": "/x"}, "redy: unknown key (did you mean 'ready'?)"),
    ],
)
def test_of_a_server_in_the_task(keys: dict[str, Any], message: str) -> None:
    assert rejection(with_server(**keys)) == f"server.{message}"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"labels": ["toxic"]}, "labels: should be a mapping, not ['toxic']"),
        ({"labels": {"toxic": 1}}, "labels.toxic: should be text (quote it), not 1"),
        ({"labels": {1: "toxic"}}, "labels: should be text (quote it), not 1"),
        *(
            (
                {"labels": {"toxic": column}},
                "labels: 'toxic' should map to a lower-case column name of its own, "
                f"not {column!r}",
            )
            for column in ("uri", "label", "response", "Prob")
        ),
        ({"labels": {"toxic": "p", "threat": "p"}}, "labels: 'p' is the column of two labels"),
        ({"max_length": 4}, "max_length: should be a whole number, 8 or more, not 4"),
        (
            {"dtype": "bf16"},
            "dtype: should be one of auto, float32, bfloat16, float16, not 'bf16' "
            "(did you mean 'bfloat16'?)",
        ),
        (
            {"device": "gpu"},
            "device: should be one of auto, cpu, cuda, not 'gpu' (did you mean 'cuda'?)",
        ),
        ({"multi_label": "yes"}, "multi_label: should be true or false, not 'yes'"),
        ({"model": None}, "model: is missing"),
        (
            {"revision": None},
            "model: there is no folder {folder}/a/b; for a model of the hub, classifier.revision "
            "says which commit",
        ),
        (
            {"revision": "main"},
            "revision: should be a commit of 40 hex digits, which stays what it is, not 'main' "
            "(git ls-remote https://huggingface.co/a/b HEAD tells the newest)",
        ),
        (
            {"model": "/models/toxic-bert"},
            "model: should be a name on the hub, where a revision is given, not "
            "'/models/toxic-bert'",
        ),
    ],
)
def test_of_transformers(in_a_folder: Path, keys: dict[str, Any], message: str) -> None:
    assert rejection(transformers(**keys)) == message.replace("{folder}", str(in_a_folder))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o601])
def test_a_key_file_that_others_can_read_is_rejected(in_a_folder: Path, mode: int) -> None:
    file = in_a_folder / "key"
    file.write_text(KEY)
    file.chmod(mode)
    assert rejection(perspective(api_key_file=str(file))) == (
        f"api_key_file: {file} can be read by others: chmod 600 {file}"
    )


@pytest.mark.parametrize("content", [KEY.encode() + b"\xff", b"two words", "schlüssel".encode()])
def test_a_key_that_no_header_can_carry_is_rejected(in_a_folder: Path, content: bytes) -> None:
    file = in_a_folder / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    assert rejection(perspective(api_key_file=str(file))) == (
        f"api_key_file: the key file {file} holds characters that no HTTP header can carry"
    )


def test_a_key_file_that_is_missing_is_named(in_a_folder: Path) -> None:
    assert rejection(perspective(api_key_file="no")) == (
        f"api_key_file: the key file {in_a_folder}/no cannot be read: No such file or directory"
    )


def test_a_quota_folder_that_cannot_be_written_is_rejected(in_a_folder: Path) -> None:
    folder = in_a_folder / "prompt.txt" / "quota"
    assert rejection(perspective(quota_folder=str(folder))) == (
        f"quota_folder: {in_a_folder}/prompt.txt is not a folder that you may write to: "
        "name one that all nodes share"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"caf\xe9", "is not UTF-8: 'utf-8' codec can't decode byte 0xe9 in position 3: unexpected "
         "end of data"),
        (b" \n", "is empty"),
    ],
)  # fmt: skip
def test_a_prompt_that_nobody_can_mean_is_rejected(
    in_a_folder: Path, content: bytes, problem: str
) -> None:
    path = in_a_folder / "prompt.txt"
    path.write_bytes(content)
    assert rejection(llm()) == f"prompt: {path} {problem}"


def test_a_placeholder_is_shown_with_what_to_do(in_a_folder: Path) -> None:
    (in_a_folder / "prompt.txt").write_text("Is it civic?\n\nPost: {{ text }}")
    assert rejection(llm()) == (
        "prompt: line 3 of prompt.txt has '{{ text }}', which looks like a placeholder, and "
        "nothing fills it in: the post is sent after the prompt, as a message of its own. Delete "
        "it, or write what it stands for; if the model should read it as it stands, set "
        "classifier.allow_placeholders: true"
    )


def test_what_is_wrong_with_files_and_the_key_is_named_at_once(in_a_folder: Path) -> None:
    values = llm(prompt="p.txt", api_key_env="NOT_SET_ANYWHERE", base_url="https://h")
    assert rejection(values).splitlines() == [
        "2 problems",
        f"  classifier.api_key_env: the environment variable NOT_SET_ANYWHERE {NOT_SET}",
        f"  classifier.prompt: there is no file {in_a_folder}/p.txt",
    ]


@pytest.mark.parametrize(
    "url", ["https://h/a b", "http://localhost\\.h", "https://h\t/x", "http://h\u202e"]
)
def test_an_address_that_readers_take_for_different_ones_is_rejected(url: str) -> None:
    assert rejection(perspective(base_url=url)) == (
        f"base_url: should hold no blank, backslash or control character: {url!r}"
    )


INSECURE = (
    "base_url: would send the API key unencrypted to gpu-7: use https://, or, if you trust "
    "everybody on the way, set classifier.allow_insecure: true"
)


def test_a_key_is_not_sent_for_everybody_to_read(
    in_a_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-12345678")
    insecure = {"base_url": "http://gpu-7:8000/v1", "api_key_env": "MY_KEY"}
    assert rejection(llm(**insecure)) == INSECURE
    assert rejection(perspective(**insecure)) == INSECURE
    for values in (
        llm(**insecure, allow_insecure=True),
        perspective(**insecure, allow_insecure=True),
        llm(base_url="http://gpu-7:8000/v1"),
        llm(base_url="http://localhost:8000/v1", api_key_env="MY_KEY"),
        llm(base_url="https://gpu-7/v1", api_key_env="MY_KEY"),
    ):
        assert configured(values, in_a_folder)
