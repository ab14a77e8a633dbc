"""Who can read what is sent to an address."""

import pytest

from pipeline.service.address import is_readable_on_the_way


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
