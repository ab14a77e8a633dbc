"""Import what needs the driver of SQLite, only when it is needed, and keep Ctrl-C as it is."""

import importlib
import signal
import threading
from types import ModuleType


def import_with_driver(module: str) -> ModuleType:
    """Import a module that imports the driver, and return it.

    The driver imports pyarrow.dataset and with it pandas, and polars, if they are installed: more
    than all other imports of `submit` together. The library of polars 1 takes SIGINT over when it
    is loaded, and Ctrl-C is lost then; so the handler that was there is set again.
    """
    handler = signal.getsignal(signal.SIGINT)
    imported = importlib.import_module(module)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
    return imported
