"""Ask an OpenAI-compatible server which models it has."""

from typing import Any

import requests
from urllib3.exceptions import HTTPError

from pipeline import strict_json
from pipeline.config.secret import Secret
from pipeline.service.address import with_path
from pipeline.service.limited_http import (
    ACCEPTED_ENCODINGS,
    AnswerLimits,
    LimitedAdapter,
    TooLong,
    TooSlow,
    UndecodableBody,
    read_body,
)
from pipeline.service.route import PermanentFault, find_route

MODELS_PATH = "/models"
_OK = 200


class NoModels(Exception):
    """A server does not say which models it has; the message is a clause that says why."""


def list_models(base_url: str, secret: Secret, *, seconds: float) -> tuple[str, ...]:
    """Return the names of a server's models, in its order.

    Args:
        base_url: its address, such as `http://localhost:8000/v1`.
        secret: the API key, which may be `NO_KEY`.
        seconds: how long the whole answer may take.

    Raises:
        NoModels: it cannot be reached, or answers something else.
    """
    url = with_path(base_url, MODELS_PATH)
    bounds = AnswerLimits(seconds=seconds)
    key = secret.reveal()
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update({"Accept-Encoding": ACCEPTED_ENCODINGS})
        if key:
            session.headers["Authorization"] = f"Bearer {key}"
        for scheme in ("http://", "https://"):
            session.mount(scheme, LimitedAdapter(bounds, connections=1))
        try:
            route = find_route(url)
            with session.get(
                url,
                timeout=(seconds, seconds),
                allow_redirects=False,
                stream=True,
                proxies=route.proxies,
                verify=route.authorities,
            ) as response:
                if response.status_code != _OK:
                    raise NoModels(f"it answers HTTP {response.status_code}")
                body = read_body(response.raw, bounds.most_bytes)
        except PermanentFault as fault:
            raise NoModels(secret.redact(str(fault))) from None
        except (TooSlow, TooLong, UndecodableBody):
            raise NoModels("it does not answer as a server of models does") from None
        except (requests.RequestException, HTTPError, OSError, ValueError):
            raise NoModels("it cannot be reached from here") from None
    return _names(body)


def _names(body: bytes) -> tuple[str, ...]:
    try:
        answer: Any = strict_json.parse(body.decode(errors="replace")).value
    except strict_json.InvalidJson:
        raise NoModels("its answer is not JSON") from None
    listed = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        raise NoModels("its answer lists no models")
    names = [each.get("id") for each in listed if isinstance(each, dict)]
    return tuple(name for name in names if isinstance(name, str) and name)
