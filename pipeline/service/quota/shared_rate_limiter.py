"""Limit the request rate of one task among all that use its key.

A thread keeps the task's lease alive, and requests go out as its share allows. The rules, and why
they are safe, are in `leases`.
"""

import contextlib
import errno
import math
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.config.input_files import InputFiles
from pipeline.errors import Cause, TaskError
from pipeline.service.quota.lease_folder import LeaseFolder, expired_pauses, pause_until
from pipeline.service.quota.leases import Lease, LeaseTerms, Permit, parse_leases
from pipeline.service.quota.membership import Membership
from pipeline.service.quota.rate_limiter import RateLimiter, Slots
from pipeline.system.shortage import is_shortage
from pipeline.terminal import one_line
from pipeline.text import counted

# A task that cannot use its folder sends nothing, and gives up after this time unless the disk is
# full or the like.
PATIENCE_SECONDS = 120.0
# The service's minute begins by the service's own clock.
_SKEW_SECONDS = 2.0
_POLL_SECONDS = 0.2
_LEAVE_SECONDS = 5.0
# Something else is in the place of a folder. That does not pass, and every other task meets it too.
_NO_FOLDER = (errno.ENOTDIR, errno.ELOOP)


def find_quota_folder(name: str, inputs: InputFiles) -> str:
    """Return the absolute path of the quota folder, the same on every node; create nothing yet.

    Args:
        name: the key `quota_folder`.
        inputs: gets what is wrong with the folder.
    """
    try:
        folder = Path(name).expanduser().absolute()
        above = next(parent for parent in (folder, *folder.parents) if parent.exists())
    except (OSError, RuntimeError) as error:  # no home is known
        inputs.report("quota_folder", str(error))
        return name
    if os.path.lexists(folder) and not folder.exists():  # a link to nowhere
        above = folder
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        inputs.report(
            "quota_folder",
            f"{above} is not a folder that you may write to: name one that all nodes share",
        )
    return str(folder)


def open_rate_limiter(per_minute: int | None, folder: str, *, owner: str) -> RateLimiter:
    """Return what decides when a task's requests may go out.

    Args:
        per_minute: how many requests all tasks together may send; None for no limit.
        folder: the folder through which they share that, absolute.
        owner: whose quota it is; an API key may be in it, because only a hash is written.
    """
    if per_minute is None:
        return RateLimiter()
    return SharedRateLimiter(
        LeaseFolder(Path(folder).expanduser(), owner), per_minute, LeaseTerms()
    )


class SharedRateLimiter(RateLimiter):
    """Lets requests go out at the task's share of the quota.

    The lease is taken when something is to be sent for the first time. The first request goes out
    `LeaseTerms.join` after that, or at once if no other task uses the key.
    """

    def __init__(
        self,
        folder: LeaseFolder,
        requests_per_minute: int,
        terms: LeaseTerms,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Write nothing yet.

        Args:
            folder: where the tasks of the key keep their leases.
            requests_per_minute: the quota of all tasks together.
            terms: the times that all tasks of the key agree on.
            clock: monotonic, in seconds.
            patience: for how many seconds the folder may fail before the task gives up.
        """
        super().__init__(clock=clock)
        self.folder = folder
        self.requests_per_minute = requests_per_minute
        self._terms = terms
        self._patience = patience
        self._membership = Membership(_new_id(), requests_per_minute, terms)
        self._slots = Slots(terms)
        self._permit: Permit | None = None
        self._is_new = True
        self._claim = ""
        self._steps_aside = False
        self._failure: BaseException | None = None
        self._folder_problem = ""
        self._reported_foreign = False
        self._pause_to_announce = self._announced_pause = 0.0
        self._turn = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._keeper: threading.Thread | None = None

    @property
    def share(self) -> int | None:
        """The requests a minute that this task may send; None while it has no permit."""
        permit = self._permit  # read once: another thread replaces it
        return permit.share if permit else None

    @property
    def lacks_quota(self) -> bool:
        """Whether the task has no share of the quota at the moment."""
        return bool(self._keeper) and not self.share and not self._folder_problem

    @property
    def tasks(self) -> int | None:
        """How many tasks share the quota, as far as their leases show; None without a permit."""
        permit = self._permit  # read once: another thread replaces it
        return permit.count if permit else None

    @property
    def trouble(self) -> str:
        """Why nothing may be sent at the moment; '' where something may."""
        if self._folder_problem:
            return self._folder_problem
        permit = self._permit  # read once: another thread replaces it
        if self._keeper and not permit:
            return (
                "no share of the quota yet: the task first watches for "
                f"{self._terms.join:.0f} s which others use it"
            )
        if permit and not permit.share:
            return f"no share of the quota: {permit.count} tasks use it"
        return ""

    def pause(self, seconds: float) -> None:
        """Pause all tasks of the key for `seconds`, because the service has asked for it."""
        seconds += _SKEW_SECONDS
        with self._lock:
            self._slots.pause(self._clock() + seconds)
            self._pause_to_announce = max(self._pause_to_announce, time.time() + seconds)
        self._wake.set()

    def wait(self, stop: threading.Event) -> bool:
        """Wait for a slot, and return whether a request may be sent.

        Returns:
            False if `stop` was set, or the limiter was closed, first.

        Raises:
            TaskError: the folder cannot be used.
        """
        with self._turn:  # one thread at a time: hundreds would wake up at every slot
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
                stop.wait(min(rest, _POLL_SECONDS, self._terms.refresh))
        return False

    def close(self) -> None:
        """Give the share back to the other tasks."""
        with self._lock:
            self._closed = True
            keeper = self._keeper
        self._wake.set()
        if keeper:
            # A file system that hangs must not keep the task from ending. The lease then expires.
            keeper.join(_LEAVE_SECONDS)

    def _start(self) -> None:
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        try:
            self._refresh_until_closed()
        except Exception as error:  # noqa: BLE001 - raised in the threads that wait
            self._failure = error

    def _refresh_until_closed(self) -> None:
        last_success = self._clock()
        has_lease = False
        due = 0.0
        while not self._closed:
            try:
                if self._clock() >= due:
                    has_lease = self._refresh(has_lease)
                    wait_s = self._membership.seconds_to_refresh(self._clock())
                    due = self._clock() + (self._terms.aside if self._steps_aside else wait_s)
                    self._folder_problem = ""
                self._announce_pause()
                last_success = self._clock()
            except OSError as error:
                if error.errno in _NO_FOLDER:
                    raise TaskError(Cause.REFUSED, self._describe_obstacle()) from None
                problem = error.strerror or error
                self._folder_problem = (
                    f"{self.folder.path}: {problem}: nothing is sent without a lease"
                )
                # A full disk has room again some time, and the next attempt would meet it as well.
                is_over = self._clock() - last_success > self._patience
                if is_over and not is_shortage(error):
                    raise TaskError(Cause.CRASHED, self._folder_problem) from None
                due = self._clock() + self._terms.refresh
            self._wake.wait(max(0.0, due - self._clock()))
            self._wake.clear()
        if has_lease:
            self._leave()

    def _describe_obstacle(self) -> str:
        return (
            f"{self.folder.obstacle()} is not a folder, but tasks need a folder there to share the "
            "quota: move it away, or name another folder in quota_folder"
        )

    def _refresh(self, has_lease: bool) -> bool:
        """Renew the lease, list the others, and return whether there is a lease now."""
        began = self._clock()
        lease = self._membership.next_lease()
        try:
            if not has_lease:
                self._claim_or_step_aside()
                if self._steps_aside:
                    return False
                self.folder.write(lease)
                self._membership.lease_written(lease, began, self._clock())
                if self._claim and self._start_alone(began):
                    return True
            elif self._membership.should_renew(began):
                try:
                    self.folder.rename(self._membership.lease, lease)
                except FileNotFoundError:  # somebody has emptied the folder
                    return False
                self._membership.lease_renamed(lease, began, self._clock())
        except FileExistsError:  # a stranger's entry has the name: join under another one
            self._membership = Membership(_new_id(), self.requests_per_minute, self._terms)
            return False
        if self._claim and began >= self._membership.visible_at:
            self._give_back_claim()
        listing = self.folder.look()
        self._report(listing.foreign)
        was_member = self._membership.is_member
        permit = self._membership.observe(parse_leases(listing.names), began, self._clock())
        self._adopt(permit, listing.names)
        if permit and not was_member:
            for holder in self.folder.claim_holders():
                self.folder.give_back_claim(holder)
        return True

    def _claim_or_step_aside(self) -> None:
        """Take the claim, or step aside for the task that has it.

        Only a new task may. When somebody has deleted the leases of all tasks, the others still
        rely on their permits.
        """
        self._give_back_claim()  # of a try that failed
        is_new, self._is_new = self._is_new, False
        holder = self._membership.lease.id
        if is_new and self.folder.take_claim(holder):
            self._claim = holder
        self._steps_aside = is_new and not self._claim and bool(self.folder.claim_holders())

    def _start_alone(self, began: float) -> bool:
        """Send at once if no other task uses the key, and return whether that is so.

        Args:
            began: before the claim was taken.
        """
        listings = [self.folder.look() for _ in range(self._terms.looks)]
        leases = [parse_leases(listing.names) for listing in listings]
        permit = self._membership.observe_alone(leases, began, self._clock())
        if permit is None:
            self._give_back_claim()
            return False
        self._report(listings[-1].foreign)
        self._adopt(permit, listings[-1].names)
        return True

    def _give_back_claim(self) -> None:
        holder, self._claim = self._claim, ""
        if holder:
            self.folder.give_back_claim(holder)

    def _report(self, foreign: Sequence[str]) -> None:
        """Say once in the task's log that the folder holds what is not ours."""
        if foreign and not self._reported_foreign:
            self._reported_foreign = True
            entries = counted(len(foreign), "entry", "entries")
            print(
                f"{self.folder.path} holds {entries} of other programs or people, such as "
                f"{one_line(min(foreign))!r}: ignored. Delete them if nobody needs them",
                flush=True,
            )

    def _adopt(self, permit: Permit | None, names: Sequence[str]) -> None:
        """Continue under a new permit and the announced pauses; delete what is obsolete."""
        wall = time.time()
        paused_until = pause_until(names, wall)
        with self._lock:
            now = self._clock()
            self._permit = permit
            if permit:
                self._slots.adopt(permit, now)
            self._slots.pause(now + paused_until - wall)
            self._announced_pause = max(self._announced_pause, paused_until)
        if permit:
            self.folder.remove(lease.name for lease in permit.obsolete)
        self.folder.remove(expired_pauses(names, wall))

    def _announce_pause(self) -> None:
        """Announce a pause, unless one that ends at nearly the same time is announced already.

        All tasks of a key get their 429 at the same time.
        """
        until = self._pause_to_announce
        if until > self._announced_pause + _SKEW_SECONDS:
            self.folder.write_pause(until)
            self._announced_pause = until

    def _leave(self) -> None:
        with self._lock:
            in_use_s = self._slots.end(self._clock())
        lease = self._membership.lease
        # Mostly 0, because the last interval is over: then the others get the share at their next
        # refresh. A single millisecond would make them wait for one more.
        left = Lease(id=lease.id, quota=lease.quota, in_use_ms=math.ceil(in_use_s * 1000))
        with contextlib.suppress(OSError):  # the lease expires by itself
            self.folder.rename(lease, left)
        # The next task may send at once: it begins with an interval of silence.
        self._give_back_claim()


def _new_id() -> str:
    """Return a new id for a task.

    It begins with the time, so that a task that joins hardly changes the others' ranks. The node
    and the process id are for a person who looks at the folder.
    """
    node = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40]
    return f"{time.time():.0f}-{node}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
