"""Share what classifiers' options have in common: keys, checks, and their form in a manifest."""

import re
from collections.abc import Mapping
from typing import Annotated, Self
from urllib.parse import urlsplit

from msgspec import Meta

from pipeline.config.check import Problems, check_record
from pipeline.config.input_files import InputFiles
from pipeline.config.keys import Positive, Section, Text, Wrong, expects, key
from pipeline.service.address import host_of, is_readable_on_the_way, secret_parameter

DEFAULT_QUOTA_FOLDER = "~/.hpc/quota"

EnvironmentVariable = Annotated[
    str,
    # In capitals, since many an API key is a word of letters, digits and _ too.
    Meta(pattern=r"^[A-Z_][A-Z0-9_]*$(?!\n)"),
    expects("the name of an environment variable, in capitals, never the key itself"),
]
OptionalApiKeyVariable = Annotated[
    EnvironmentVariable | None,
    key(
        "Environment variable that holds the API key.",
        default="none",
        omit_default=True,
        secret=True,
    ),
]
SharedQuota = Annotated[
    Positive | None,
    key(
        "Quota that all tasks of all runs with this `base_url` and API key share through "
        "`quota_folder`.",
        default="no limit",
    ),
]
ApiKeyFile = Annotated[
    Text | None,
    key(
        "File that holds the API key and that only you can read (mode 600).",
        default="none",
        omit_default=True,
    ),
]
QuotaFolder = Annotated[
    Text,
    key(
        "Folder through which tasks share the quota: one that all nodes see and, for an API key "
        "that several people use, one in which all of them may write.",
        omit_default=True,
    ),
]


AllowInsecure = Annotated[
    bool,
    key(
        "Send the API key over `http://` to another machine, although everybody on the way can "
        "read it.",
        omit_default=True,
    ),
]


class Options(Section, frozen=True, kw_only=True):
    """A classifier's options: its keys in the configuration, checked and with files inlined.

    A subclass (`class MyOptions(Options, frozen=True, kw_only=True)`) adds keys of its own.
    """

    keep_raw: Annotated[
        bool,
        key(
            "Keep each response of the service as it came, one Parquet file per shard in the run's "
            "`raw/` (`uri`, `label_timestamp`, `response`).",
            omit_default=True,
        ),
    ] = False

    def to_json(self) -> dict[str, object]:
        """Return what the manifest keeps, the classifier's own keys first."""
        values = super().to_json()
        shared = {name: values.pop(name) for name in Options.__struct_fields__ if name in values}
        return values | shared

    @classmethod
    def from_manifest(cls, values: Mapping[str, object], *, source: str) -> Self:
        """Return the options that `to_json` wrote.

        Raises:
            InputError: another version wrote them; the message names `source` and each key.
        """
        problems = Problems()
        options = check_record(cls, values, source=source, path="classifier", problems=problems)
        problems.raise_any()
        assert options
        return options


def without_slash(base_url: str) -> str:
    """Return an address without a slash at the end of its path; a harmless query stays.

    Raises:
        Wrong: it is no address, or holds what a run's folder must not keep.
    """
    address, mark, query = base_url.partition("?")
    url = address.rstrip("/") + (mark + query if query else "")
    if not re.match(r"https?://[^/\s?]", url):
        raise Wrong("base_url", f"should begin with http:// or https://, not {_hidden(url)!r}")
    if re.search(r"[\s\\]", url) or not url.isprintable():
        raise Wrong(
            "base_url", f"should hold no blank, backslash or control character: {_hidden(url)!r}"
        )
    if "#" in url:
        raise Wrong("base_url", "should hold no #fragment, which no service gets to see")
    _check_host(url)
    if name := secret_parameter(url):
        raise Wrong(
            "base_url",
            f"should hold no secret, because the run's folder keeps it, and ?{name}= looks like "
            "one: an API key belongs in api_key_env or api_key_file",
        )
    return url


def _check_host(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port  # raises where it is no port
    except ValueError:
        raise _no_host(url) from None
    host = (parts.hostname or "").removesuffix(".")
    if port == 0 or parts.netloc.endswith(":") or not all(host.split(".")):
        raise _no_host(url)
    if "@" in parts.netloc:
        raise Wrong(
            "base_url",
            "should hold no user or password, because the run's folder keeps it: an API key "
            "belongs in api_key_env or api_key_file",
        )


def _no_host(url: str) -> Wrong:
    return Wrong(
        "base_url", f"should name a host, and a port from 1 to 65535 if any: {_hidden(url)!r}"
    )


def _hidden(url: str) -> str:
    """Return an address for a message, without a user, a password and the values of a query."""
    plain = re.sub(r"[^/?#]*@", "…@", url)
    return re.sub(r"=[^&#]*", "=…", plain)


def check_transport(base_url: str, *, allow_insecure: bool, inputs: InputFiles) -> None:
    """Report an address to which the API key would be sent for everybody on the way to read."""
    if is_readable_on_the_way(base_url) and not allow_insecure:
        inputs.report(
            "base_url",
            f"would send the API key unencrypted to {host_of(base_url)}: use https://, or, if you "
            "trust everybody on the way, set classifier.allow_insecure: true",
        )
