"""Tell from the address of a service who can read what is sent there."""

import ipaddress
from urllib.parse import urlsplit


def host_of(url: str) -> str:
    """Return the host of an address in lower case, without its port; '' where there is none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:  # such as half an IPv6 address
        return ""


def is_on_this_machine(url: str) -> bool:
    """Report whether an address names this machine's loopback, which nobody else can listen to."""
    host = host_of(url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_readable_on_the_way(url: str) -> bool:
    """Report whether everybody between here and the service can read what is sent."""
    return not url.startswith("https://") and not is_on_this_machine(url)
