"""An answer of any size and at any pace ends within its limits, and says which one it exceeded."""

import functools
import gzip
import resource
import zlib
from collections.abc import Iterator

import pytest

from pipeline.config.secret import NO_KEY
from pipeline.limits import ANSWER_BYTES, JSON_LEVELS
from pipeline.service.endpoint import Endpoint
from pipeline.service.http_reply import INCOMPLETE, TIMED_OUT, Reply
from pipeline.service.quota.rate_limiter import RateLimiter
from pipeline.service.service import ReplyRules, RequestPolicy, Service
from tests.pipeline.classifiers.classifier_setup import Scripted
from tests.pipeline.service.scripted_replies import NEVER
from tests.servers import http
from tests.servers.raw import RawServer, Script, drip

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MEBIBYTE = 1 << 20


def ask(url: str, *, timeout_s: float = 20.0) -> Reply:
    """Return the one reply to a request that is not repeated."""
    endpoint = Endpoint(
        Service(url=url, headers={}, secret=NO_KEY, connections=1),
        limiter=RateLimiter(),
        policy=RequestPolicy(timeout_s=timeout_s),
        rules=ReplyRules(),
    )
    return endpoint.post({"q": 1}, NEVER, attempts=1)


def flood(before: bytes, piece: bytes, pieces: int = 700) -> Script:
    """Return a script that sends `before`, and then `piece` many times."""

    def script() -> Iterator[bytes]:
        yield before
        for _ in range(pieces):
            yield piece

    return script


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (HEAD + b"Content-Length: 9000\r\n\r\n", b" "),
        (HEAD + b"\r\n", b" "),
        (CHUNKED, b"0"),
        (CHUNKED + b"2\r\n{}\r\n1;", b"x"),
        (CHUNKED, b"1\r\n \r\n"),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"a: b\r\n"),
    ],
    ids=[
        *("status", "header", "headers", "continue", "body", "body without a length"),
        *("length of a chunk", "extension of a chunk", "chunks", "trailers"),
    ],
)
def test_an_answer_that_comes_byte_by_byte_is_not_waited_for(before: bytes, piece: bytes) -> None:
    with RawServer(drip(before, piece)) as server:
        reply = ask(server.url, timeout_s=0.3)
    assert (reply.status, reply.may_pass) == (TIMED_OUT, True)


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (HEAD + b"Content-Length: 999999999\r\n\r\n", b" " * MEBIBYTE),
        (HEAD + b"\r\n", b" " * MEBIBYTE),
        (CHUNKED, b"0" * MEBIBYTE),
        (CHUNKED, b"100000\r\n" + b" " * MEBIBYTE + b"\r\n"),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"a: " + b"b" * MEBIBYTE + b"\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40_000),
    ],
    ids=["body", "body without a length", "length of a chunk", "chunks", "trailers", "continue"],
)
def test_an_answer_without_end_is_given_up(before: bytes, piece: bytes) -> None:
    with RawServer(flood(before, piece)) as server:
        reply = ask(server.url)
        assert server.sent[0] < 100 * MEBIBYTE  # what the sockets hold is sent, too
    assert (reply.body, reply.failed) == (None, True)


@functools.cache
def bomb(*, gzipped: bool) -> bytes:
    """Return 600 MB of blanks, compressed to 0.6 MB."""
    window = 31 if gzipped else 15
    compressor = zlib.compressobj(9, zlib.DEFLATED, window)
    blanks = b" " * MEBIBYTE
    return b"".join(compressor.compress(blanks) for _ in range(600)) + compressor.flush()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip", "br", "zstd"])
def test_what_grows_when_it_is_decompressed_takes_no_more_memory(encoding: str) -> None:
    body = bomb(gzipped=encoding == "gzip")
    if encoding == "gzip, gzip":
        body = gzip.compress(body)
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    headers = {"Content-Encoding": encoding}
    with Scripted(lambda nth: http.Reply(body=body, headers=headers)) as server:
        reply = ask(server.url)
    assert reply.status == INCOMPLETE
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_before
    assert grown_kib < 64 * 1024


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_answer_is_read(encoding: str) -> None:
    body = b'{"ok": "' + b"x" * 10_000 + b'"}'
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    headers = {"Content-Encoding": encoding}
    with Scripted(lambda nth: http.Reply(body=packed, headers=headers)) as server:
        reply = ask(server.url)
    assert (reply.status, reply.body) == (200, {"ok": "x" * 10_000})


def test_a_compression_that_is_damaged_is_no_answer() -> None:
    headers = {"Content-Encoding": "gzip"}
    with Scripted(lambda nth: http.Reply(body=b"\x1f\x8b broken", headers=headers)) as server:
        assert ask(server.url).status == INCOMPLETE


def test_an_answer_of_the_longest_length_is_read() -> None:
    body = b'{"ok": true}'.ljust(ANSWER_BYTES)
    with Scripted(lambda nth: http.Reply(body=body + b" " * (nth - 1))) as server:
        assert [ask(server.url).status for _ in range(2)] == [200, INCOMPLETE]


@pytest.mark.parametrize("status", [401, 413, 500])
def test_an_error_keeps_its_status_whatever_its_page_is(status: int) -> None:
    head = f"HTTP/1.1 {status} No\r\n\r\n".encode()
    with RawServer(flood(head, b"<p>" * MEBIBYTE)) as server:
        assert ask(server.url).status == status
    with RawServer(drip(head, b"<p>")) as server:
        assert ask(server.url, timeout_s=0.3).status == status


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (nested(JSON_LEVELS), 200),
        (nested(JSON_LEVELS + 1), INCOMPLETE),
        (nested(980), INCOMPLETE),
        ('{"a": ' * 100_000 + "1" + "}" * 100_000, INCOMPLETE),
        ("[" * 100_000, INCOMPLETE),
        (f'"{"[" * 1000}"', 200),
        ('{"a": "\\"' + "[{" * 100 + '"}', 200),
        ("[" + "[]," * 5_000 + "{}]", 200),
    ],
)
def test_json_is_read_to_a_depth_that_every_reader_can_walk(text: str, status: int) -> None:
    with Scripted(lambda nth: http.Reply(body=text)) as server:
        assert ask(server.url).status == status


def test_quotes_without_end_take_linear_time() -> None:
    """A pattern that starts anew at each quote would take hours."""
    text = "[" * (JSON_LEVELS + 1) + '"' + '\\"' * (ANSWER_BYTES // 3)
    with Scripted(lambda nth: http.Reply(body=text)) as server:
        assert ask(server.url).status == INCOMPLETE
