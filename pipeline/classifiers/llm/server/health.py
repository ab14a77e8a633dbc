"""Whether a server that was started serves by now: its own page of health says so."""

from http.client import HTTPConnection, HTTPException

from pipeline.classifiers.llm.server.options import ServerOptions
from pipeline.config.secret import Secret

TIMEOUT_SECONDS = 2.0


def look(host: str, port: int, options: ServerOptions, secret: Secret) -> tuple[bool, str]:
    """And what it says, without the key. Asked directly: a proxy knows nothing of loopback."""
    key = secret.reveal()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    said = ""
    for path in options.ready:
        status, words = _get(host, port, path, headers)
        said = f"GET {path}: {words}"
        if status != 404:
            return status == 200, said
    return False, said


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
