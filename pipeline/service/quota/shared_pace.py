"""The pace of one task among all that use a key: its lease kept alive by a thread, its requests let
go by the share that this gives. The rules, and why they are safe, are those of leases.py."""

import math
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from pipeline.config.section import Section
from pipeline.errors import Cause, TaskError
from pipeline.model import JsonObject
from pipeline.service.quota import lease_folder
from pipeline.service.quota.lease_folder import LeaseFolder
from pipeline.service.quota.leases import Lease, LeaseTerms, NotALease, Permit, Seat, parse
from pipeline.service.quota.pace import Pace, Slots

DEFAULT_FOLDER = "~/.hpc/quota"
# Without its folder for so long, in which it sends nothing, a task gives up.
PATIENCE_SECONDS = 120.0
# A service's minute begins by its own clock.
_SKEW_SECONDS = 2.0
_LOOK_SECONDS = 0.2
_LEAVE_SECONDS = 5.0


def frozen_quota_options(section: Section, default: int | None) -> JsonObject:
    """How much may be sent, and the folder by which that is shared, absolute, so that it is the
    same one on every node; nothing is made in it yet."""
    per_minute = section.integer("requests_per_minute", default, least=1)
    given = section.text("quota_folder", DEFAULT_FOLDER)
    if per_minute is None:
        return {"requests_per_minute": None}
    try:
        folder = Path(given).expanduser().absolute()
        above = next(one for one in (folder, *folder.parents) if one.exists())
    except (OSError, RuntimeError) as error:  # no home is known
        raise section.error("quota_folder", str(error)) from None
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise section.error(
            "quota_folder",
            f"{above} is no folder that you may write to: name one that all nodes share",
        )
    return {"requests_per_minute": per_minute, "quota_folder": str(folder)}


def pace_of(options: JsonObject, owner: str) -> Pace:
    """By what `frozen_quota_options` returned.

    Args:
        owner: whose quota it is; the key may be in it, only a hash is written.
    """
    per_minute = options["requests_per_minute"]
    if per_minute is None:
        return Pace()
    # Runs from before there were leases name no folder, and may name part of a request.
    folder = Path(options.get("quota_folder", DEFAULT_FOLDER)).expanduser()
    return SharedPace(LeaseFolder(folder, owner), max(1, int(per_minute)), LeaseTerms())


class SharedPace(Pace):
    """Takes its lease when something is first to be sent, `Terms.join` before that is."""

    def __init__(
        self,
        folder: LeaseFolder,
        per_minute: int,
        terms: LeaseTerms,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        super().__init__(clock=clock)
        self._folder = folder
        self._quota = per_minute
        self._terms = terms
        self._patience = patience
        self._seat = Seat(_new_id(), per_minute, terms)
        self._slots = Slots(terms)
        self._permit: Permit | None = None
        self._failure: BaseException | None = None
        self._complaint = ""
        self._pause_to_tell = self._pause_known = 0.0
        self._turn = threading.Lock()
        self._woken = threading.Event()
        self._closed = False
        self._keeper: threading.Thread | None = None

    @property
    def trouble(self) -> str:  # type: ignore[override]
        if self._complaint:
            return self._complaint
        permit = self._permit  # once: it is another thread's
        if self._keeper and not permit:
            return "waits until others leave it a share of the quota"
        if permit and not permit.share:
            return f"no share: {permit.count} tasks for the quota"
        return ""

    def pause(self, seconds: float) -> None:
        """For all tasks of the key."""
        seconds += _SKEW_SECONDS
        with self._lock:
            self._slots.pause(self._clock() + seconds)
            self._pause_to_tell = max(self._pause_to_tell, time.time() + seconds)
        self._woken.set()

    def wait(self, stop: threading.Event) -> bool:
        with self._turn:  # one at a time: hundreds would wake at every slot
            while not stop.is_set():
                with self._lock:
                    if self._failure:
                        raise self._failure
                    if self._closed:
                        return False
                    if self._keeper is None:
                        self._start()
                    rest = self._slots.take(self._clock())
                if not rest:
                    return True
                stop.wait(min(rest, _LOOK_SECONDS, self._terms.refresh))
        return False

    def close(self) -> None:
        """Gives the share back."""
        with self._lock:
            self._closed = True
            keeper = self._keeper
        self._woken.set()
        if keeper:
            # A file system that hangs must not keep the task from ending: its lease dies by itself.
            keeper.join(_LEAVE_SECONDS)

    def _start(self) -> None:
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        try:
            self._refresh_until_closed()
        except NotALease as error:
            self._failure = TaskError(
                Cause.REFUSED,
                f"{self._folder.path}/{error} is no lease that this version can read: remove it if "
                "nothing else uses the key",
            )
        except Exception as error:  # noqa: BLE001 - handed to those who wait, raised there
            self._failure = error

    def _refresh_until_closed(self) -> None:
        works = self._clock()
        announced = False
        due = 0.0
        while not self._closed:
            try:
                if self._clock() >= due:
                    announced = self._refresh(announced)
                    due = self._clock() + self._seat.due(self._clock())
                    self._complaint = ""
                self._tell_pause()
                works = self._clock()
            except OSError as error:
                why = error.strerror or error
                self._complaint = f"{self._folder.path}: {why}: nothing is sent without a lease"
                if self._clock() - works > self._patience:
                    raise TaskError(Cause.CRASHED, self._complaint) from None
                due = self._clock() + self._terms.refresh
            self._woken.wait(max(0.0, due - self._clock()))
            self._woken.clear()
        if announced:
            self._leave()

    def _refresh(self, announced: bool) -> bool:
        """Whether there is a lease now."""
        began = self._clock()
        new = self._seat.next_lease()
        if not announced:
            self._folder.write(new)
            self._seat.announced(new, began, self._clock())
        elif self._seat.renews(began):
            try:
                self._folder.rename(self._seat.lease, new)
            except FileNotFoundError:  # somebody has cleared the folder
                return False
            self._seat.renewed(new, began, self._clock())
        names = self._folder.names()
        permit = self._seat.looked(parse(names), began, self._clock())
        wall = time.time()
        paused = lease_folder.pause_until(names, wall)
        with self._lock:
            now = self._clock()
            self._permit = permit
            if permit:
                self._slots.adopt(permit, now)
            self._slots.pause(now + paused - wall)
            self._pause_known = max(self._pause_known, paused)
        if permit:
            self._folder.remove(one.name for one in permit.forgotten)
        self._folder.remove(lease_folder.past_pauses(names, wall))
        return True

    def _tell_pause(self) -> None:
        """Unless the others know of one that is nearly as long: all get their 429 at once."""
        until = self._pause_to_tell
        if until > self._pause_known + _SKEW_SECONDS:
            self._folder.write_pause(until)
            self._pause_known = until

    def _leave(self) -> None:
        with self._lock:
            hold = self._slots.end(self._clock())
        mine = self._seat.lease
        # 0 where that is over, as it mostly is: any more costs the others a whole refresh.
        left = Lease(id=mine.id, number=math.ceil(hold * 1000), quota=mine.quota, left=True)
        try:
            self._folder.rename(mine, left)
        except OSError:
            return  # it dies by itself


def _new_id() -> str:
    """Begins with the time, so that a task that joins changes the others' ranks little, and says
    who it is to a person who looks."""
    node = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40]
    return f"{time.time():.0f}-{node}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
