"""A base URL names a host, and is stored without a slash at its end."""

import pytest

from pipeline.classifiers.options import without_slash
from pipeline.config.keys import Wrong


@pytest.mark.parametrize(
    "url",
    [
        "http://h:/v1",
        "http://[::1]:/v1",
        "http://:80/v1",
        "http://:/",
        "http://h:0/v1",
        "http://h:65536",
        "http://h:+80",
        "http://a..b/v1",
        "http://./v1",
        "http://.h",
        "http://[::1/v1",
        "http://h:80:80",
    ],
)
def test_an_address_without_a_usable_host_and_port_is_rejected(url: str) -> None:
    with pytest.raises(Wrong):
        without_slash(url)


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("http://h", "http://h"),
        ("https://h./v1/", "https://h./v1"),
        ("http://h:65535/v1", "http://h:65535/v1"),
        ("http://[::1]:8000/v1//", "http://[::1]:8000/v1"),
        ("http://[fe80::1%25eth0]/v1", "http://[fe80::1%25eth0]/v1"),
        ("https://bücher.example/v1", "https://bücher.example/v1"),
        ("https://h/v1/?api-version=2024", "https://h/v1?api-version=2024"),
    ],
)
def test_an_address_is_stored_without_a_slash_at_its_end(url: str, stored: str) -> None:
    assert without_slash(url) == stored
