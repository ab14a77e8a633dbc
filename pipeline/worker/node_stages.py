"""Define the stages of a look at a node, each with what it found."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import getproxies

from pipeline import __version__
from pipeline.classifiers import frozen_classifier, registry
from pipeline.classifiers.one_answer import ask_once
from pipeline.config.check import Problems
from pipeline.errors import InputError
from pipeline.model import Post
from pipeline.run_files.json_record import read_record
from pipeline.run_files.node_report import LOCK, ORDER, NodeOrder
from pipeline.system.file_locks import take_lock
from pipeline.terminal import one_line

_CONNECT_S = 10.0
_GPU_S = 20.0
_MOST_CHARACTERS = 300
Values = dict[str, object]


def look(folder: Path) -> Iterator[Values]:
    """Yield what each stage found, and with it the name of the next stage."""
    yield {"version": __version__, "stage": "shared folder"}
    yield {**_folder(folder), "stage": "classifier"}
    order = read_record(folder / ORDER, NodeOrder)
    try:
        registry.load(str(order.classifier[frozen_classifier.TYPE]))
    except InputError as error:
        yield {"missing": str(error), "stage": ""}
        return
    yield {"lacks": _lacks(order), "stage": "GPU"}
    yield {**(_gpus() if order.wants_gpu else {}), "stage": "service"}
    yield {**_connect(order), "stage": "one post"}
    yield {**_label(order), "stage": ""}


def _folder(folder: Path) -> Values:
    """Return how much room the folder has, and whether its locks reach this node."""
    disk = os.statvfs(folder)
    return {
        "lock": _try_lock(folder / LOCK),
        "free_bytes": disk.f_bavail * disk.f_frsize,
        "free_inodes": disk.f_favail if disk.f_files else -1,
    }


def _try_lock(path: Path) -> str:
    """Return `held` if another machine's lock keeps this one out."""
    try:
        with path.open("rb+") as stream:
            return "free" if take_lock(stream.fileno()) else "held"
    except OSError as error:
        return error.strerror or str(error)


def _lacks(order: NodeOrder) -> tuple[str, ...]:
    problems = Problems()
    try:
        frozen_classifier.check_on_node(order.classifier, source="on the node", problems=problems)
    except InputError as error:
        return (str(error),)
    return tuple(f"{problem.path}: {problem.text}" for problem in problems.found)


def _gpus() -> Values:
    """Return the GPUs that this job may use. NVIDIA's program comes with its driver."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GPU_S,
            check=False,
        )
    except FileNotFoundError:
        if amd := sorted(str(path) for path in Path("/dev/dri").glob("render*")):
            return {"gpus": amd}
        return {"gpu_problem": "there is no nvidia-smi, and so no driver"}
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"gpu_problem": f"nvidia-smi failed: {one_line(str(error), _MOST_CHARACTERS)}"}
    gpus = [line.strip() for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    if listed.returncode or not gpus:
        said = listed.stderr.strip() or listed.stdout.strip() or "it lists no GPU"
        return {"gpu_problem": f"nvidia-smi: {one_line(said, _MOST_CHARACTERS)}"}
    return {"gpus": gpus}


def _connect(order: NodeOrder) -> Values:
    """Open a connection to the service and close it: no request is sent."""
    # A request says more, and a proxy is reached in another way.
    if not order.host or order.text or getproxies():
        return {}
    try:
        socket.create_connection((order.host, order.port), timeout=_CONNECT_S).close()
    except OSError as error:
        return {"reached": f"{order.host} port {order.port}: {error.strerror or error}"}
    return {"reached": "yes"}


def _label(order: NodeOrder) -> Values:
    if not order.text:
        return {}
    # Classifiers print notes for the log of a task.
    with contextlib.redirect_stdout(None):
        answer = ask_once(order.classifier, Post("at://hpc/check/1", order.text))
    if answer.answer is None:
        return {"error": answer.error, "seconds": answer.seconds}
    labels = dict(answer.answer.values or {})
    return {"labels": labels, "reason": answer.answer.reason or "", "seconds": answer.seconds}
