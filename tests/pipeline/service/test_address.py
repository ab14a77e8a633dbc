"""What an address tells, and how addresses are composed."""

import pytest

from pipeline.service.address import (
    is_loopback,
    is_readable_on_the_way,
    redirect_target,
    secret_parameter,
    with_path,
)


@pytest.mark.parametrize(
    ("url", "is_readable"),
    [
        ("https://example.org", False),
        ("http://localhost:8000/v1", False),
        ("http://LOCALHOST.:8000/v1", False),
        ("http://127.0.0.1", False),
        ("http://127.8.9.1:80", False),
        ("http://[::1]:8000/v1", False),
        ("http://[::ffff:10.0.0.1]/", True),
        ("http://0.0.0.0:8000", True),
        ("http://example.org", True),
        ("http://gpu-node-7:8000/v1", True),
        ("http://localhost.example.org", True),
        ("http://127.0.0.1.example.org", True),
        ("http://localhostx", True),
        ("http://10.0.0.1", True),
        ("http://[fe80::1]/", True),
        ("http://[::1", True),
    ],
)
def test_only_loopback_and_https_keep_a_key_secret(url: str, is_readable: bool) -> None:
    assert is_readable_on_the_way(url) is is_readable


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost.", "a.localhost", "localhost.localdomain", "127.0.0.1", "127.9.8.7",
     "127.1", "0x7f.1", "2130706433", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]"],
)  # fmt: skip
def test_loopback_is_recognized_however_it_is_written(host: str) -> None:
    assert is_loopback(f"http://{host}:8000/v1")


@pytest.mark.parametrize(
    "host",
    ["example.org", "10.0.0.1", "128.1", "[fe80::1]", "[::ffff:10.0.0.1]", "localhost.example.org",
     "127.0.0.1.example.org", "xlocalhost", "", "[::1", "f00d", "dead.beef"],
)  # fmt: skip
def test_another_machine_is_no_loopback(host: str) -> None:
    assert not is_loopback(f"http://{host}:8000/v1")


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://h/v1", "https://h/v1/chat"),
        ("https://h/v1/", "https://h/v1/chat"),
        ("https://h?api-version=1", "https://h/chat?api-version=1"),
        ("https://h/d/?a=b&c=/d", "https://h/d/chat?a=b&c=/d"),
        ("", "/chat"),
    ],
)
def test_a_path_comes_before_the_query(base_url: str, url: str) -> None:
    assert with_path(base_url, "/chat") == url


@pytest.mark.parametrize(
    "query",
    ["api-version=2024-12-01-preview", "deployment=gpt-4o-mini-2024-07-18", "v=1&region=eu-west-1",
     "tenant=0f8fad5b-d9cb-469f-a165-70867728950e", "", "flag"],
)  # fmt: skip
def test_a_harmless_query_holds_no_secret(query: str) -> None:
    assert secret_parameter(f"https://h/v1?{query}") == ""


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("key=x", "key"),
        ("v=1&API_KEY=x", "API_KEY"),
        ("subscription-key=x", "subscription-key"),
        ("access_token=x", "access_token"),
        ("sig=x", "sig"),
        ("a=AIzaSyD0123456789012345678901234567890", "a"),
        ("a=sk-proj-abcdefghijklmnopqrstuvwxyz", "a"),
        ("0123456789abcdef0123456789abcdef", "01234567…"),
    ],
)
def test_a_query_that_may_hold_a_secret_is_named(query: str, name: str) -> None:
    assert secret_parameter(f"https://h/v1?{query}") == name


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://h/v2/ask", "https://h/v2/ask"),
        ("/login?next=/v1", "http://old/login"),
        ("//new:8443/v1/ask#x", "http://new:8443/v1/ask"),
        ("https://me:secret@h/v1", "https://h/v1"),
        ("http://[::1]:8000/", "http://[::1]:8000/"),
        ("ftp://h/", ""),
        ("http://[::1", ""),
        ("http://h:99999/", ""),
    ],
)
def test_a_redirects_target_is_shown_without_what_may_be_secret(location: str, target: str) -> None:
    assert redirect_target("http://old/v1/ask?a=b", location) == target
