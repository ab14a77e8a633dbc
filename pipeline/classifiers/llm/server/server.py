"""The server of one task: started when it is first asked for, again once if it dies, ended with it.

A thread watches over it; requests ask for its address, and wait while it has none.
"""

import threading
import time
from pathlib import Path

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.llm.server import log, process
from pipeline.classifiers.llm.server.failure import ServerFailure, of_report
from pipeline.classifiers.llm.server.health import look
from pipeline.classifiers.llm.server.options import ServerOptions, thaw
from pipeline.classifiers.llm.server.process import HOST, Ports, ServerProcess
from pipeline.config.secret import Secret
from pipeline.errors import TaskError
from pipeline.model import JsonObject
from pipeline.run_files.last_words import cause_of
from pipeline.service.endpoint import Stopped

RESTARTS, PORTS = 1, 5
LOOK_SECONDS = 0.25


class ModelServer:
    """Its process is the child of a guard (pipeline/engine/guard.py), its address a free port of
    loopback.

    Args:
        log: the file that its output is appended to.
        stopping: set when the task is told to stop: no server is started, or waited for, then.
    """

    def __init__(
        self, options: ServerOptions, *, log: Path, secret: Secret, stopping: threading.Event
    ) -> None:
        self._options = options
        self._log = log
        self._secret = secret
        self._stopping = stopping
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._keeper: threading.Thread | None = None
        self._address = ""
        self._failure: TaskError | None = None
        self._doing = ""

    @property
    def trouble(self) -> str:
        """Why there is no answer at the moment; '' while it serves."""
        return "" if self._address else self._doing

    def address(self, stop: threading.Event) -> str:
        """Such as http://127.0.0.1:34567/v1, another one after each start; waits until it is ready.

        Raises TaskError where there will be none any more; Stopped after `stop`, and where the task
        is told to stop before the server is there.
        """
        with self._lock:
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="server", daemon=True)
                self._keeper.start()
        while True:
            if address := self._address:
                return address
            if self._leaving():
                raise Stopped
            if self._failure:
                raise _again(self._failure)
            if stop.wait(LOOK_SECONDS):
                raise Stopped

    def close(self) -> None:
        """Ends the server, with its process group and whatever else it has started."""
        with self._lock:
            self._closed.set()
            keeper = self._keeper
        if keeper:
            keeper.join(process.END_SECONDS + 5)

    def _leaving(self) -> bool:
        """Not while it serves: what is in flight when the task is told to stop is paid for."""
        return self._closed.is_set() or (self._stopping.is_set() and not self._address)

    def _keep(self) -> None:
        ports = Ports()
        try:
            self._keep_alive(ports)
        except TaskError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 - handed to those who wait for the address
            # Such as a full disk. Raised as it is where a post is asked, it would be taken for that
            # post's doing, and after two attempts the post set aside.
            self._failure = _not_started(error)
        finally:
            ports.close()

    def _keep_alive(self, ports: Ports) -> None:
        restarts, more_ports = RESTARTS, PORTS
        while not self._leaving():
            death = self._live(ports.take())
            if death is None or self._leaving():
                return
            if death.port_taken and more_ports:
                more_ports -= 1
            elif death.may_pass and restarts:
                restarts -= 1
            else:
                raise death.as_error(self._secret, self._log, again=restarts < RESTARTS)
            self._doing = f"the server {death.what}: it is started again"
            print(self._doing, flush=True)

    def _live(self, port: int) -> ServerFailure | None:
        """From a start to the death; None where the task ends first."""
        with process.started(self._options, port, self._log, self._secret) as server:
            try:
                death = self._until_ready(server, port)
                if death or self._leaving():
                    return death
                while not server.ended(LOOK_SECONDS):
                    if self._leaving():
                        return None
            finally:
                served, self._address = bool(self._address), ""
        return of_report(
            server.report(),
            program=self._options.command[0],
            log=log.read(self._log, server.log_start),
            served=served,
            memory_kill=server.memory_kill(),
        )

    def _until_ready(self, server: ServerProcess, port: int) -> ServerFailure | None:
        """A death that is not the process's; None otherwise, with the address where it serves."""
        began = time.monotonic()
        last = "no answer yet"
        while not server.ended(LOOK_SECONDS) and not self._leaving():
            is_ready, last = look(HOST, port, self._options, self._secret)
            waited = time.monotonic() - began
            self._doing = f"the server is starting, {waited:.0f} s by now; {last}"
            if is_ready and server.shares_port(port):
                # It did not bind, or shares the port unawares: the answers may be another's.
                what = "does not have its port to itself: not it or its children alone listen there"
                return ServerFailure(what=what, port_taken=True)
            if is_ready:
                print(f"the server is ready after {waited:.0f} s", flush=True)
                self._doing = "the server has ended"  # what there is to say when it serves no more
                self._address = f"http://{HOST}:{port}{self._options.base_path}"
                return None
            if waited > self._options.ready_seconds:
                what = (
                    f"was not ready after {self._options.ready_seconds:g} s ({last}): see "
                    "classifier.server.ready and ready_seconds"
                )
                return ServerFailure(
                    what=what, log=log.read(self._log, server.log_start), hangs=True
                )
        return None


def of_task(options: JsonObject, share: TaskShare, secret: Secret) -> ModelServer | None:
    """None where the configuration names a server that is somewhere else."""
    thawed = thaw(options)
    if thawed is None:
        return None
    return ModelServer(thawed, log=share.server_log, secret=secret, stopping=share.stopping)


def _not_started(error: Exception) -> TaskError:
    failure = TaskError(cause_of(error), f"the server cannot be started: {error}")
    failure.__cause__ = error
    return failure


def _again(error: TaskError) -> TaskError:
    """Raised in many threads, each of which would add its own lines to the traceback."""
    copy = TaskError(
        error.cause, str(error), blames_post=error.blames_post, stops_run=error.stops_run
    )
    copy.__cause__ = error.__cause__
    for note in getattr(error, "__notes__", ()):
        copy.add_note(note)
    return copy
