"""Ask a server's health page whether the server is ready."""

from collections.abc import Callable
from http.client import HTTPException

from pipeline.classifiers.llm.server.options import ServerOptions
from pipeline.config.secret import Secret
from pipeline.service.limited_http import AnswerLimits, TooLong, TooSlow, get_status

TIMEOUT_SECONDS = 2.0


def check_health(
    host: str,
    port: int,
    options: ServerOptions,
    secret: Secret,
    listener: Callable[[int], object] | None = None,
) -> tuple[bool, str]:
    """Return whether the server is ready, and what the page said, without the key.

    `listener` is asked who listens on the port before the key is sent there, as `AnswerLimits`
    describes.
    """
    key = secret.reveal()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    bounds = AnswerLimits(seconds=TIMEOUT_SECONDS, listener=listener)
    finding = ""
    for path in options.ready:
        status, outcome = _get(host, port, path, headers, bounds)
        finding = f"GET {path}: {outcome}"
        if status != 404:
            return status == 200, finding
    return False, finding


def _get(
    host: str, port: int, path: str, headers: dict[str, str], bounds: AnswerLimits
) -> tuple[int, str]:
    try:
        status = get_status(host, port, path, headers, bounds)
    except (TimeoutError, TooSlow):
        return 0, "no answer"
    except ConnectionError:
        return 0, "no connection"
    except (OSError, HTTPException, TooLong) as error:
        return 0, f"no answer: {type(error).__name__}"
    return status, f"HTTP {status}"
