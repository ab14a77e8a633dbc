"""What the end of an engine's log is taken to say. The lines are the engines' own."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.llm import chat
from pipeline.classifiers.llm import multi_post as several_posts
from pipeline.classifiers.llm.server import log
from pipeline.classifiers.llm.server.guard import Log
from pipeline.classifiers.llm.server.log import LogEnd
from pipeline.model import Post
from pipeline.terminal import TAIL_BYTES

VLLM = "(EngineCore_DP0 pid=6940) ERROR 04-30 10:20:36 [core.py:396] "


@pytest.mark.parametrize(
    "line",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 714.00 MiB.",
        "torch.cuda.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB",
        "RuntimeError: CUDA error: out of memory",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9866.00 MiB on device 1: "
        "cudaMalloc failed: out of memory",
        "ValueError: No available memory for the cache blocks. Try increasing "
        "`gpu_memory_utilization` when initializing the engine.",
        "ValueError: Free memory on device cuda:1 (19.77/22.05 GiB) on startup is less than "
        "desired GPU memory utilization (0.9, 19.84 GiB).",
        "ValueError: Available memory on node 0 (14.36/16.34 GiB) on startup is less than desired "
        "CPU memory utilization (0.92, 15.03 GiB).",
        "ValueError: To serve at least one request with the model's max seq len (131072), 48.01 "
        "GiB KV cache is needed, which is larger than the available KV cache memory (0.65 GiB).",
        "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.",
        "Prefill out of memory. Try to lower your batch size.",
    ],
)
def test_an_engine_that_lacks_gpu_memory_says_so(line: str) -> None:
    after = "RuntimeError: Engine core initialization failed. See root cause above."
    found = log.of_text(f"starting\n{VLLM}{line}\n{after}\n")
    assert found.out_of_memory
    assert found.telling == line
    assert found.lines == ("starting", VLLM + line, after)


@pytest.mark.parametrize(
    "line",
    [
        'INFO: received request: prompt: "I am out of memory for names"',
        "INFO 11-27 GPU KV cache size: 44,112 tokens; free memory 3 GiB",
        "INFO: 127.0.0.1 - POST /v1/chat/completions HTTP/1.1 500",
    ],
)
def test_other_talk_of_memory_is_none(line: str) -> None:
    assert not log.of_text(line).out_of_memory


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("logged", [str, repr, json.dumps])
@pytest.mark.parametrize(
    "text", ["java.lang.OutOfMemoryError", "std::bad_alloc", 'an "error: out of memory"\nin me']
)
def test_what_a_post_says_in_a_request_that_is_logged_says_nothing_of_the_engine(
    text: str, logged: Callable[[str], str], several: bool
) -> None:
    """vLLM with --enable-log-requests, llama-server with --verbose."""
    post = Post("at://1", text)
    asked = several_posts.asked({"id": post}) if several else {"post": text}
    body = chat.request(model="m", system="Label.", asked=asked, temperature=0, max_tokens=9)
    request = (
        f"INFO 11-27 14:00:00 [logger.py:39] request: {logged(body['messages'][1]['content'])}"
    )
    found = log.of_text(f"{request}\nAssertionError: a grammar's state\n{request}\n")
    assert (found.out_of_memory, found.telling) == (False, "AssertionError: a grammar's state")


@pytest.mark.parametrize(
    "line",
    [
        "ERROR: [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): "
        "address already in use",
        "OSError: [Errno 98] Address already in use",
        "main: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080",
        "The server socket has failed to listen on any local network address. code: -98, "
        "name: EADDRINUSE",
    ],
)
def test_a_taken_port(line: str) -> None:
    assert log.of_text(line).port_taken


def test_the_line_that_says_most_is_the_last_error_or_else_the_last() -> None:
    assert log.of_text("Error: a\nValueError: b\nShutting down\n\n").telling == "ValueError: b"
    assert log.of_text("one\ntwo\n").telling == "two"
    assert log.of_text(" \n\n") == LogEnd()


def test_of_tracebacks_that_point_above_the_one_they_point_at_is_told() -> None:
    """vLLM 0.32 with weights that are cut short: three processes, three tracebacks."""
    worker = "(Worker pid=22673) ERROR 11-27 18:14:37 [multiproc_executor.py:953] "
    core = "(EngineCore pid=22637) ERROR 11-27 18:14:40 [core.py:1510] "
    why = "safetensors._safetensors_rust.SafetensorError: Error while deserializing header"
    found = log.of_text(
        f"{worker}Traceback (most recent call last):\n{worker}{why}\n"
        f"{core}Exception: WorkerProc initialization failed due to an exception in a background "
        "process. See stack trace for root cause.\n"
        + "  File core_client.py\n"
        * 14
        + "RuntimeError: Engine core initialization failed. See root cause above. Failed core "
        "proc(s): {}\n"
    )
    assert found.telling == why
    pointing = "RuntimeError: Engine core initialization failed. See root cause above."
    assert log.of_text(f"starting\n{pointing}\n").telling == pointing


def test_where_to_read_more_is_not_what_went_wrong() -> None:
    found = log.of_text(
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig\n"
        "  Value error, invalid literal for int() with base 10: '0.001'\n"
        "    For further information visit https://errors.pydantic.dev/2.14/v/value_error\n"
    )
    assert found.telling == "Value error, invalid literal for int() with base 10: '0.001'"


def test_what_it_shows_is_short_and_steers_no_terminal() -> None:
    found = log.of_text(f"\x1b[31m{'e' * 400}\x1b[0m\n10 %\r100 %\r\n" + "x\n" * 20)
    assert found.lines == ("x",) * 15
    assert log.of_text(f"\x1b[31m{'e' * 400}\x1b[0m\n10 %\r100 %\r\n").lines == ("e" * 300, "100 %")


def test_only_what_this_start_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("CUDA out of memory\n")
    start = path.stat().st_size
    with path.open("a") as stream:
        stream.write("ValueError: something else\n")
    assert not log.read(path, start).out_of_memory
    assert log.read(path, 0).out_of_memory
    assert log.read(tmp_path / "none", 0) == LogEnd()


def test_a_large_log_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"CUDA out of memory\n" + b"x" * TAIL_BYTES + b"\nlast\n")
    found = log.read(path, 0)
    assert (found.out_of_memory, found.telling) == (False, "last")


def test_the_rest_of_a_line_that_is_cut_off_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    post = b'INFO request: "post": "' + b"a" * TAIL_BYTES + b' CUDA out of memory."\n'
    path.write_bytes(post + b"ValueError: something else\n")
    found = log.read(path, 0)
    assert (found.out_of_memory, found.telling) == (False, "ValueError: something else")


@pytest.mark.parametrize("cut", range(24))
def test_a_key_is_kept_out_wherever_the_output_is_cut(tmp_path: Path, cut: int) -> None:
    text = b"the key sk-4711 and sk-471\n"
    stream = (tmp_path / "log").open("wb", buffering=0)
    kept = Log(stream, b"sk-4711")
    kept.write(text[:cut])
    kept.write(text[cut:])
    kept.close()
    assert (tmp_path / "log").read_bytes() == b"the key [key] and sk-471\n"


@given(st.text("ab", min_size=1, max_size=4), st.lists(st.text("abc", max_size=5), max_size=8))
def test_cut_anyhow_the_log_is_what_it_would_be_in_one_piece(key: str, chunks: list[str]) -> None:
    written = io.BytesIO()
    written.close = lambda: None  # type: ignore[method-assign]
    kept = Log(written, key.encode())
    for chunk in chunks:
        kept.write(chunk.encode())
    kept.close()
    assert written.getvalue().decode() == "".join(chunks).replace(key, "[key]")


def test_a_full_disk_under_the_log_ends_no_server() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        kept = Log(full, b"")
        kept.write(b"what a server says")
        kept.close()
