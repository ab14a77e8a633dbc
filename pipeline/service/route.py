"""Find the way to a service: the proxy that the environment names, and whose certificates count."""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests.utils

from pipeline.service.address import is_loopback
from pipeline.terminal import clean


class PermanentFault(Exception):
    """A fault that every request meets until a person changes something; the message says what."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proxy:
    """A proxy that the environment names."""

    variable: str
    """The environment variable that names it, such as HTTPS_PROXY."""

    url: str
    """Its address, which may hold a user and a password."""

    @property
    def scheme(self) -> str:
        """Return the protocol in which the proxy is asked, such as http or socks5."""
        return self.url.partition("://")[0].lower() if "://" in self.url else "http"

    @property
    def place(self) -> str:
        """Return its host and port; '' if its address is none."""
        address = self.url if "://" in self.url else f"http://{self.url}"
        try:
            parts = urlsplit(address)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:  # its port is no number
            return ""
        return clean(parts.hostname) + port if parts.hostname else ""

    def __str__(self) -> str:
        """Return what messages call it, without the user and password in its address."""
        return f"the proxy of {self.variable}" + (f" ({self.place})" if self.place else "")

    def __repr__(self) -> str:
        return f"Proxy({self})"


def find_proxy(url: str) -> Proxy | None:
    """Return the proxy for requests to an address; None if they go there directly.

    No proxy can reach this machine's loopback, and a key on the way to one would be readable.
    """
    if is_loopback(url):
        return None
    proxies = requests.utils.get_environ_proxies(url)  # none for a host in NO_PROXY
    proxy_url = requests.utils.select_proxy(url, proxies)
    if not proxy_url:
        return None
    scheme = urlsplit(url).scheme
    names = [f"{scheme}_proxy", f"{scheme}_PROXY".upper(), "all_proxy", "ALL_PROXY"]
    variable = next((name for name in names if os.environ.get(name)), "the environment")
    return Proxy(variable=variable, url=proxy_url)


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """How requests reach a service."""

    proxy: Proxy | None
    """The proxy on the way; None if there is none."""

    authorities: str | bool
    """The file or folder with the certificates of trusted authorities; True for the usual ones."""

    @property
    def proxies(self) -> dict[str, str]:
        """Return the proxy as `requests` takes it."""
        return {"all": self.proxy.url} if self.proxy else {}


def find_route(url: str) -> Route:
    """Return the way to an address.

    Raises:
        PermanentFault: the environment names a file of certificates that cannot be used.
    """
    authorities: str | bool = True
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if url.startswith("https://") else ():
        if path := os.environ.get(variable):
            _check_authorities(variable, path)
            authorities = path
            break
    return Route(proxy=find_proxy(url), authorities=authorities)


def _check_authorities(variable: str, path: str) -> None:
    try:
        if not Path(path).is_dir():
            ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise PermanentFault(
            f"{variable} names {clean(path)}, which holds no certificate in PEM form"
        ) from None
    except OSError as error:
        raise PermanentFault(
            f"{variable} names {clean(path)}, which cannot be read: {error.strerror}"
        ) from None
