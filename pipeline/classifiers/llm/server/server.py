"""Run the model server of one task.

The server is started when it is first needed, restarted once if it dies, and ended with the task. A
thread watches over it. Requests ask for its address, and wait while it has none.
"""

import threading
import time
from pathlib import Path

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.llm.server import process
from pipeline.classifiers.llm.server.failure import ServerFailure, failure_from_report
from pipeline.classifiers.llm.server.health import check_health
from pipeline.classifiers.llm.server.log import read_log_end
from pipeline.classifiers.llm.server.options import Server, ServerOptions, server_options
from pipeline.classifiers.llm.server.process import HOST, Ports, ServerProcess
from pipeline.config.secret import Secret
from pipeline.errors import TaskError
from pipeline.run_files.last_words import cause_of
from pipeline.service.endpoint import Stopped
from pipeline.system.processes import ForeignListener

RESTARTS, PORTS = 1, 5
POLL_SECONDS = 0.25


class ModelServer:
    """A server on a free port of loopback; its process is the child of a guard (`guard`)."""

    def __init__(
        self, options: ServerOptions, *, log: Path, secret: Secret, stopping: threading.Event
    ) -> None:
        """Start nothing yet.

        Args:
            options: the command and how to run it.
            log: the file that the server's output is appended to.
            secret: the key that the server demands; it is kept out of the log and the messages.
            stopping: set when the task has been asked to stop. From then on no server is started,
                and none is waited for.
        """
        self._options = options
        self._log = log
        self._secret = secret
        self._stopping = stopping
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._keeper: threading.Thread | None = None
        self._address = ""
        self._failure: TaskError | None = None
        self._activity = ""
        self._process: ServerProcess | None = None

    @property
    def trouble(self) -> str:
        """Return why the server does not answer at the moment; '' while it does."""
        return "" if self._address else self._activity

    def address(self, stop: threading.Event) -> str:
        """Wait until the server is ready, and return its address.

        Returns:
            The base URL, such as http://127.0.0.1:34567/v1. It changes with each start.

        Raises:
            TaskError: the server will not be ready any more.
            Stopped: `stop` was set, or the task was asked to stop before the server was ready.
        """
        with self._lock:
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="server", daemon=True)
                self._keeper.start()
        while True:
            if address := self._address:
                return address
            if self._should_end():
                raise Stopped
            if self._failure:
                raise _copy(self._failure)
            if stop.wait(POLL_SECONDS):
                raise Stopped

    def listener(self, port: int) -> object:
        """Return which sockets of the server listen on its port.

        Raises:
            OSError: another process does, or nobody, or it cannot be known. Then nothing may be
                sent there: the key would be a stranger's, and his answers labels.
        """
        running = self._process
        if running is None:
            raise ConnectionRefusedError("the server has ended")
        return running.listeners(port)

    def close(self) -> None:
        """End the server, with everything that it has started."""
        with self._lock:
            self._closed.set()
            keeper = self._keeper
        if keeper:
            keeper.join(process.END_SECONDS + 5)

    def _should_end(self) -> bool:
        """Report whether to end. A server that serves is kept: requests in flight are paid for."""
        return self._closed.is_set() or (self._stopping.is_set() and not self._address)

    def _keep(self) -> None:
        ports = Ports()
        try:
            self._keep_alive(ports)
        except TaskError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 - handed to those who wait for the address
            # A full disk, for example. Raised unchanged where a post is sent, it would be blamed on
            # that post, which would get no label after two attempts.
            self._failure = _not_started(error)
        finally:
            ports.close()

    def _keep_alive(self, ports: Ports) -> None:
        restarts, more_ports = RESTARTS, PORTS
        while not self._should_end():
            failure = self._run_once(ports.take())
            if failure is None or self._should_end():
                return
            if failure.port_taken and more_ports:
                more_ports -= 1
            elif failure.may_pass and restarts:
                restarts -= 1
            else:
                raise failure.to_error(self._secret, self._log, restarted=restarts < RESTARTS)
            self._activity = f"the server {failure.event}; restarting it"
            print(self._activity, flush=True)

    def _run_once(self, port: int) -> ServerFailure | None:
        """Run the server until it fails, and return how; None if the task ends first."""
        with process.start_server(self._options, port, self._log, self._secret) as server:
            self._process = server
            try:
                failure = self._wait_until_ready(server, port)
                if failure or self._should_end():
                    return failure
                while not server.has_ended(POLL_SECONDS):
                    if self._should_end():
                        return None
            finally:
                served, self._address = bool(self._address), ""
                self._process = None
        return failure_from_report(
            server.report(),
            program=self._options.command[0],
            log=read_log_end(self._log, server.log_start),
            served=served,
            memory_kill=server.memory_kill(),
        )

    def _wait_until_ready(self, server: ServerProcess, port: int) -> ServerFailure | None:
        """Wait until the server is ready, and publish its address.

        Returns:
            A failure of a server whose process lives on. None if it is ready, if its process has
            ended, or if the task ends.
        """
        began = time.monotonic()
        finding = "no answer yet"
        while not server.has_ended(POLL_SECONDS) and not self._should_end():
            try:
                server.listeners(port)
            except ForeignListener:
                # It will not get the port, or share it unknowingly: another server would answer.
                return ServerFailure(event="shares its port with another process", port_taken=True)
            except OSError as error:
                is_ready, finding = False, f"no connection: {error}"
            else:
                is_ready, finding = check_health(
                    HOST, port, self._options, self._secret, self.listener
                )
            waited = time.monotonic() - began
            self._activity = f"the server has been starting for {waited:.0f} s; {finding}"
            if is_ready:
                print(f"the server is ready after {waited:.0f} s", flush=True)
                self._activity = (
                    "the server has ended"  # shown as soon as it has no address any more
                )
                self._address = f"http://{HOST}:{port}{self._options.base_path}"
                return None
            if waited > self._options.ready_seconds:
                event = (
                    f"was not ready after {self._options.ready_seconds:g} s ({finding}): see "
                    "classifier.server.ready and ready_seconds"
                )
                return ServerFailure(
                    event=event, log=read_log_end(self._log, server.log_start), was_never_ready=True
                )
        return None


def of_task(
    configured: Server | None, model: str, share: TaskShare, secret: Secret
) -> ModelServer | None:
    """Return the server that a task starts; None where the configuration names one elsewhere."""
    if configured is None:
        return None
    options = server_options(configured, model=model)
    return ModelServer(options, log=share.server_log, secret=secret, stopping=share.stopping)


def _not_started(error: Exception) -> TaskError:
    failure = TaskError(cause_of(error), f"the server cannot be started: {error}")
    failure.__cause__ = error
    return failure


def _copy(error: TaskError) -> TaskError:
    """Return a copy to raise: many threads would all add lines to the traceback of one error."""
    copy = TaskError(
        error.cause, str(error), blames_post=error.blames_post, stops_run=error.stops_run
    )
    copy.__cause__ = error.__cause__
    for note in getattr(error, "__notes__", ()):
        copy.add_note(note)
    return copy
