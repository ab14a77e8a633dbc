"""Ask a server's health page whether the server is ready."""

from http.client import HTTPConnection, HTTPException

from pipeline.classifiers.llm.server.options import ServerOptions
from pipeline.config.secret import Secret

TIMEOUT_SECONDS = 2.0


def check_health(host: str, port: int, options: ServerOptions, secret: Secret) -> tuple[bool, str]:
    """Return whether the server is ready, and what the page said, without the key.

    The server is asked directly: a proxy cannot reach this machine's loopback.
    """
    key = secret.reveal()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    finding = ""
    for path in options.ready:
        status, outcome = _get(host, port, path, headers)
        finding = f"GET {path}: {outcome}"
        if status != 404:
            return status == 200, finding
    return False, finding


def _get(host: str, port: int, path: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        status = connection.getresponse().status
    except TimeoutError:
        return 0, "no answer"
    except ConnectionError:
        return 0, "no connection"
    except (OSError, HTTPException) as error:
        return 0, f"no answer: {type(error).__name__}"
    finally:
        connection.close()
    return status, f"HTTP {status}"
