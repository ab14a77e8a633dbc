"""Name why a request got no answer, and tell what may pass from what needs a person.

The library wraps the cause in several exceptions. Their types and attributes say what it was; their
words, which show addresses with passwords of proxies, are not used where a cause is known.
"""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import BadStatusLine
from typing import TypeVar
from urllib.parse import urlsplit

from requests.exceptions import ConnectTimeout, InvalidSchema, InvalidURL
from urllib3.exceptions import LocationParseError, NewConnectionError, ProxySchemeUnknown
from urllib3.exceptions import ProxyError as UrllibProxyError

from pipeline.service.address import host_of
from pipeline.service.limited_http import ProxyRefused
from pipeline.service.route import Proxy

_Error = TypeVar("_Error", bound=BaseException)

CONNECT_TIMEOUT_SECONDS = 10.0
# OpenSSL's reasons for an answer that is no TLS: older versions give the first.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
_NO_COMMON_TLS = frozenset(
    {
        *("UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "NO_SHARED_CIPHER"),
        *("DH_KEY_TOO_SMALL", "EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "WRONG_SIGNATURE_TYPE"),
        *("UNSAFE_LEGACY_RENEGOTIATION_DISABLED", "TLSV1_ALERT_PROTOCOL_VERSION"),
        *("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_INSUFFICIENT_SECURITY"),
    }
)
_NO_CLIENT_CERTIFICATE = frozenset(
    {"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE"}
)
# OpenSSL's X509_V_ERR_…: not yet valid, expired; the name or address is another one.
_BAD_DATES, _OTHER_NAMES = frozenset({9, 10}), frozenset({62, 64})


@dataclass(frozen=True, kw_only=True, slots=True)
class NoAnswer:
    """Why a request got no answer."""

    words: str
    """The cause, and what to do about it."""

    is_permanent: bool
    """Whether trying again cannot help."""


def explain(error: Exception, *, url: str, proxy: Proxy | None) -> NoAnswer | None:
    """Return why a request got no answer; None where only the error itself says it.

    Args:
        error: what the library raised.
        url: where the request should have gone.
        proxy: the proxy that was used.
    """
    errors = list(_causes(error))
    for explanation in (_bad_address, _proxy_fault, _tls_fault, _no_connection):
        if found := explanation(errors, url, proxy):
            return found
    return None


def speaks_only_tls(url: str, error: Exception) -> bool:
    """Report whether a service that ended a plain connection accepts one with TLS.

    It is asked, because most servers say nothing. Nothing is sent to it.
    """
    ended = any(isinstance(each, ConnectionError | BadStatusLine) for each in _causes(error))
    parts = urlsplit(url)
    if parts.scheme != "http" or not ended:
        return False
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    address = (parts.hostname or "", parts.port or 80)
    try:
        with socket.create_connection(address, CONNECT_TIMEOUT_SECONDS) as plain:
            context.wrap_socket(plain, server_hostname=parts.hostname).close()
    except OSError:
        return False
    return True


def _bad_address(errors: list[BaseException], url: str, proxy: Proxy | None) -> NoAnswer | None:
    is_unknown_scheme = _has(errors, InvalidSchema, ProxySchemeUnknown)
    if proxy and is_unknown_scheme and proxy.scheme.startswith("socks"):
        return _permanent(
            f"{proxy} needs the package PySocks: run `pip install pysocks` in the tasks' Python, "
            f"or unset {proxy.variable}"
        )
    is_no_address = _has(errors, InvalidURL, LocationParseError)
    if proxy and (is_unknown_scheme or (is_no_address and not proxy.place)):
        return _permanent(
            f"{proxy} has no usable address: set {proxy.variable} to http://host:port"
        )
    if is_no_address:
        return _permanent(f"{host_of(url) or url} is not a host name: check classifier.base_url")
    return None


def _proxy_fault(errors: list[BaseException], url: str, proxy: Proxy | None) -> NoAnswer | None:
    refused = _first(errors, ProxyRefused)
    if proxy and refused:
        words = f"{proxy} does not open a connection to {host_of(url)}: HTTP {refused.status}"
        if refused.status == 407:
            words += f": put its user and password into {proxy.variable}"
        elif refused.status < 500:
            words += ": ask its operator to allow it, or name the host in NO_PROXY"
        # A proxy's own 5xx and 429 may pass.
        is_permanent = refused.status < 500 and refused.status not in (408, 425, 429)
        return NoAnswer(words=words, is_permanent=is_permanent)
    if not proxy or not _first(errors, UrllibProxyError):
        return None
    if certificate := _first(errors, ssl.SSLCertVerificationError):
        return _permanent(f"{proxy}: {_certificate_fault(certificate, 'the proxy')}")
    if _first(errors, ssl.SSLError):
        return _permanent(
            f"{proxy} does not speak TLS itself: write http:// in {proxy.variable}, which serves "
            "https:// services as well"
        )
    return NoAnswer(
        words=f"{proxy} cannot be reached: {_why(errors)}",
        is_permanent=False,
    )


def _tls_fault(errors: list[BaseException], url: str, proxy: Proxy | None) -> NoAnswer | None:
    host = host_of(url)
    way = f" (through {proxy})" if proxy else ""
    if certificate := _first(errors, ssl.SSLCertVerificationError):
        return _permanent(_certificate_fault(certificate, host) + way)
    fault = _first(errors, ssl.SSLError)
    reason = getattr(fault, "reason", None)  # only those that OpenSSL made have one
    if reason in _NO_TLS:
        return _permanent(
            f"{host} answers without TLS{way}: is it http:// instead of https://? Check "
            "classifier.base_url"
        )
    if reason in _NO_COMMON_TLS:
        return _permanent(
            f"{host} and this machine have no version of TLS in common ({reason}){way}"
        )
    if reason in _NO_CLIENT_CERTIFICATE:
        return _permanent(
            f"{host} demands a certificate from its clients ({reason}){way}, which is not supported"
        )
    return None


def _certificate_fault(error: ssl.SSLCertVerificationError, host: str) -> str:
    words = f"the TLS certificate of {host} is not accepted: {error.verify_message.rstrip('.')}"
    if error.verify_code in _BAD_DATES:
        return f"{words}: it must be renewed, unless this machine's clock is wrong"
    if error.verify_code in _OTHER_NAMES:
        return f"{words}: use the name that the certificate is for"
    return (
        f"{words}: if you trust it, set REQUESTS_CA_BUNDLE to a file with the certificate of its "
        "authority, also for the tasks (cluster.setup)"
    )


def _no_connection(errors: list[BaseException], url: str, proxy: Proxy | None) -> NoAnswer | None:
    parts = urlsplit(url)
    port = parts.port or {"https": 443}.get(parts.scheme, 80)
    if _first(errors, socket.gaierror):
        return NoAnswer(
            words=f"the name {parts.hostname} cannot be resolved: {_why(errors)}",
            is_permanent=False,
        )
    if _has(errors, NewConnectionError, ConnectTimeout):
        # Only a SOCKS proxy is not named as such by now.
        way = f" (through {proxy})" if proxy else ""
        words = f"{parts.hostname} port {port}{way}: {_why(errors)}"
        return NoAnswer(words=words, is_permanent=False)
    return None


def _why(errors: list[BaseException]) -> str:
    """Return the system's words for why there is no connection."""
    if _first(errors, TimeoutError) or _first(errors, ConnectTimeout):
        return f"no connection within {CONNECT_TIMEOUT_SECONDS:g} s"
    for each in errors:
        if isinstance(each, OSError) and isinstance(each.strerror, str):
            return each.strerror
    return "the connection ended"


def _permanent(words: str) -> NoAnswer:
    return NoAnswer(words=words, is_permanent=True)


def _has(errors: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(error, kinds) for error in errors)


def _first(errors: list[BaseException], kind: type[_Error]) -> _Error | None:
    return next((error for error in errors if isinstance(error, kind)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it wraps, in whatever way, the outermost first."""
    waiting, known = [error], {id(error)}
    while waiting:
        current = waiting.pop(0)
        yield current
        inner = (
            *current.args,
            getattr(current, "reason", None),
            getattr(current, "original_error", None),
            current.__cause__,
            current.__context__,
        )
        for each in inner:
            if isinstance(each, BaseException) and id(each) not in known:
                known.add(id(each))
                waiting.append(each)
