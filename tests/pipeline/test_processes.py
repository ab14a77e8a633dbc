"""Ask the system about real processes."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator

import pytest

from pipeline.system import processes
from tests.waiting import wait_until

# The child leaves its parent's process group.
FAMILY = """
import subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        yield parent.pid, child
        os.kill(child, 9)
        parent.kill()


def descendants(ancestor: int) -> set[int]:
    return {process.pid for process in processes.descendants(ancestor)}


def test_memory_is_that_of_a_process_and_all_below_it(family: tuple[int, int]) -> None:
    parent, child = family
    wait_until(lambda: (processes.resident_mb(child) or 0) > 4)  # Python has started
    both, alone = processes.resident_mb(parent), processes.resident_mb(child)
    assert both is not None and alone is not None
    assert both > alone + 2


def test_the_memory_of_a_process_that_has_ended_is_not_known() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert processes.resident_mb(ended.pid) is None


def test_descendants_are_found_in_any_process_group(family: tuple[int, int]) -> None:
    parent, child = family
    assert descendants(os.getpid()) >= {parent, child}
    assert descendants(parent) == {child}
    assert descendants(child) == set()


def test_a_process_that_has_ended_is_not_a_descendant(family: tuple[int, int]) -> None:
    parent, _ = family
    with subprocess.Popen(["true"]) as done:
        os.waitid(os.P_PID, done.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
        assert done.pid not in descendants(os.getpid())
        assert parent in descendants(os.getpid())


def test_a_process_that_does_not_exist_has_no_descendants() -> None:
    assert descendants(2**22 + 1) == set()


def is_proven(port: int, ours: Iterable[int]) -> bool:
    try:
        processes.prove_listeners(port, ours)
    except processes.ForeignListener:
        return False
    return True


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_listener_is_proven_by_the_process_that_holds_its_socket(
    family: tuple[int, int], address: str
) -> None:
    parent, _ = family
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=kind) as server:
        port = server.getsockname()[1]
        assert is_proven(port, [os.getpid()])
        assert is_proven(port, [parent, os.getpid(), 2**22 + 1])
        assert not is_proven(port, [parent])
        assert not is_proven(port, [])
    with pytest.raises(ConnectionRefusedError):
        processes.prove_listeners(port, [os.getpid()])


def test_who_shares_a_port_with_a_stranger_is_not_proven() -> None:
    """vLLM sets SO_REUSEPORT: two servers then share one port, and neither notices."""
    program = (
        "import socket, sys; s = socket.socket(); "
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); "
        "s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); print(s.getsockname()[1], "
        "flush=True); sys.stdin.read()"
    )
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", program, "0"], **options) as one:  # type: ignore[call-overload]
        port = int(one.stdout.readline())
        assert is_proven(port, [one.pid])
        with subprocess.Popen([sys.executable, "-c", program, str(port)], **options) as other:  # type: ignore[call-overload]
            assert int(other.stdout.readline()) == port
            assert not is_proven(port, [one.pid])
            assert is_proven(port, [one.pid, other.pid])
            other.stdin.close()
        one.stdin.close()


def test_an_open_connection_is_not_a_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            assert len(processes.listening_sockets(port)) == 1
            assert processes.listening_sockets(connection.getsockname()[1]) == {}


def test_a_process_that_forbids_it_leaves_no_core() -> None:
    program = (
        "import resource, ctypes; from pipeline.system import processes; "
        "processes.forbid_core_dumps(); "
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "(0, 0) 0\n"
