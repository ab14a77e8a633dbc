"""What the end of a server's log is understood to say. The lines are those of real engines."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.classifiers.llm import chat, multi_post
from pipeline.classifiers.llm.server.log import LogEnd, parse_log_end, read_log_end
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
def test_engines_that_run_out_of_gpu_memory_are_recognized(line: str) -> None:
    after = "RuntimeError: Engine core initialization failed. See root cause above."
    end = parse_log_end(f"starting\n{VLLM}{line}\n{after}\n")
    assert end.out_of_memory
    assert end.error_line == line
    assert end.lines == ("starting", VLLM + line, after)


@pytest.mark.parametrize(
    "line",
    [
        'INFO: received request: prompt: "I am out of memory for names"',
        "INFO 11-27 GPU KV cache size: 44,112 tokens; free memory 3 GiB",
        "INFO: 127.0.0.1 - POST /v1/chat/completions HTTP/1.1 500",
    ],
)
def test_other_lines_about_memory_are_not_mistaken_for_it(line: str) -> None:
    assert not parse_log_end(line).out_of_memory


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("logged", [str, repr, json.dumps])
@pytest.mark.parametrize(
    "text", ["java.lang.OutOfMemoryError", "std::bad_alloc", 'an "error: out of memory"\nin me']
)
def test_a_post_in_a_logged_request_is_not_the_servers_own_error(
    text: str, logged: Callable[[str], str], several: bool
) -> None:
    """vLLM logs requests with --enable-log-requests, llama-server with --verbose."""
    post = Post("at://1", text)
    asked = multi_post.user_content({"id": post}) if several else {"post": text}
    body = chat.request(model="m", system="Label.", user=asked, temperature=0, max_tokens=9)
    request = (
        f"INFO 11-27 14:00:00 [logger.py:39] request: {logged(body['messages'][1]['content'])}"
    )
    end = parse_log_end(f"{request}\nAssertionError: a grammar's state\n{request}\n")
    assert (end.out_of_memory, end.error_line) == (False, "AssertionError: a grammar's state")


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
def test_a_taken_port_is_recognized(line: str) -> None:
    assert parse_log_end(line).port_taken


def test_the_error_line_is_the_last_error_or_else_the_last_line() -> None:
    assert parse_log_end("Error: a\nValueError: b\nShutting down\n\n").error_line == "ValueError: b"
    assert parse_log_end("one\ntwo\n").error_line == "two"
    assert parse_log_end(" \n\n") == LogEnd()


def test_a_traceback_that_points_above_is_not_the_error_line() -> None:
    """vLLM 0.32 with truncated weights: three processes write three tracebacks."""
    worker = "(Worker pid=22673) ERROR 11-27 18:14:37 [multiproc_executor.py:953] "
    core = "(EngineCore pid=22637) ERROR 11-27 18:14:40 [core.py:1510] "
    cause = "safetensors._safetensors_rust.SafetensorError: Error while deserializing header"
    end = parse_log_end(
        f"{worker}Traceback (most recent call last):\n{worker}{cause}\n"
        f"{core}Exception: WorkerProc initialization failed due to an exception in a background "
        "process. See stack trace for root cause.\n"
        + "  File core_client.py\n"
        * 14
        + "RuntimeError: Engine core initialization failed. See root cause above. Failed core "
        "proc(s): {}\n"
    )
    assert end.error_line == cause
    pointing = "RuntimeError: Engine core initialization failed. See root cause above."
    assert parse_log_end(f"starting\n{pointing}\n").error_line == pointing


def test_a_link_to_documentation_is_not_the_error_line() -> None:
    end = parse_log_end(
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig\n"
        "  Value error, invalid literal for int() with base 10: '0.001'\n"
        "    For further information visit https://errors.pydantic.dev/2.14/v/value_error\n"
    )
    assert end.error_line == "Value error, invalid literal for int() with base 10: '0.001'"


def test_shown_lines_are_short_and_free_of_control_sequences() -> None:
    end = parse_log_end(f"\x1b[31m{'e' * 400}\x1b[0m\n10 %\r100 %\r\n" + "x\n" * 20)
    assert end.lines == ("x",) * 15
    assert parse_log_end(f"\x1b[31m{'e' * 400}\x1b[0m\n10 %\r100 %\r\n").lines == (
        "e" * 300,
        "100 %",
    )


def test_only_the_output_of_this_start_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("CUDA out of memory\n")
    start = path.stat().st_size
    with path.open("a") as stream:
        stream.write("ValueError: something else\n")
    assert not read_log_end(path, start).out_of_memory
    assert read_log_end(path, 0).out_of_memory
    assert read_log_end(tmp_path / "none", 0) == LogEnd()


def test_only_the_end_of_a_large_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"CUDA out of memory\n" + b"x" * TAIL_BYTES + b"\nlast\n")
    end = read_log_end(path, 0)
    assert (end.out_of_memory, end.error_line) == (False, "last")


def test_the_rest_of_a_line_that_is_cut_off_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "log"
    post = b'INFO request: "post": "' + b"a" * TAIL_BYTES + b' CUDA out of memory."\n'
    path.write_bytes(post + b"ValueError: something else\n")
    end = read_log_end(path, 0)
    assert (end.out_of_memory, end.error_line) == (False, "ValueError: something else")
