"""Tell from the address of a service who can read what is sent there, and compose addresses."""

import ipaddress
import re
import socket
from urllib.parse import SplitResult, parse_qsl, urljoin, urlsplit

# In names of parameters, these words tell of a secret.
_SECRET_WORDS = re.compile(
    r"key|token|secret|sig|pass|pwd|auth|credential|session|jwt|code\b", re.IGNORECASE
)
# Versions, names and UUIDs have shorter parts.
_RANDOM = re.compile(r"[A-Za-z0-9_+/=~]{20,}")


def host_of(url: str) -> str:
    """Return the host of an address in lower case, without its port; '' where there is none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:  # such as half an IPv6 address
        return ""


def port_of(url: str) -> int:
    """Return the port of an address: the one that it names, or that of its scheme."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def is_on_this_machine(url: str) -> bool:
    """Report whether an address names this machine's loopback, which nobody else can listen to."""
    host = host_of(url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_loopback(url: str) -> bool:
    """Report whether a connection to this address stays on this machine, however it is written.

    That includes 0.0.0.0, 127.1, ::ffff:127.0.0.1 and names that resolvers usually keep here.
    """
    host = host_of(url)
    is_named_so = host.endswith(".localhost") or host == "localhost.localdomain"
    if is_named_so or is_on_this_machine(url):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return re.fullmatch(r"[0-9a-fx.]+", host) is not None and _is_short_loopback(host)
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def is_readable_on_the_way(url: str) -> bool:
    """Report whether everybody between here and the service can read what is sent."""
    return not url.startswith("https://") and not is_on_this_machine(url)


def with_path(base_url: str, path: str) -> str:
    """Return an address with a path appended, in front of the query if there is one."""
    address, mark, query = base_url.partition("?")
    return address.rstrip("/") + path + mark + query


def secret_parameter(url: str) -> str:
    """Return the name of the first parameter of a query that may hold a secret; '' if none does."""
    for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        if _SECRET_WORDS.search(name) or _RANDOM.search(value) or _RANDOM.search(name):
            return name if len(name) < 20 else name[:8] + "…"
    return ""


def redirect_target(url: str, location: str) -> str:
    """Return the address to which an answer redirects, without its query; '' if it is none."""
    try:
        target = urlsplit(urljoin(url, location))
        is_address = target.scheme in ("http", "https") and bool(target.hostname)
        port = f":{target.port}" if target.port else ""
    except ValueError:
        return ""
    # Without a user, a password and a query, which may hold what nobody should see.
    host = f"[{target.hostname}]" if ":" in (target.hostname or "") else target.hostname
    plain = SplitResult(target.scheme, f"{host}{port}", target.path, "", "")
    return plain.geturl() if is_address else ""


def _is_short_loopback(host: str) -> bool:
    """Report whether a host is a loopback address as the C library also reads it, such as 127.1."""
    try:
        return ipaddress.ip_address(socket.inet_aton(host)).is_loopback
    except OSError:
        return False
