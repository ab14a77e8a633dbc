"""Find where every post of a backlog is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.overrides import Overrides, override_texts
from hpc.api.call.place import PathText
from hpc.api.call.surroundings import library_call
from hpc.display.backlog_audit import describe_audit
from hpc.display.blocks import Line
from hpc.display.html.render import to_html
from hpc.display.post import PostFiles, describe_post
from hpc.executors.factory import executor_of
from hpc.reconcile.audit_backlog import audit_backlog, find_backlog
from hpc.reconcile.audit_files import (
    examine_with,
    list_inputs,
)
from hpc.reconcile.look import look
from hpc.run.exit_codes import FAILED, UNDER_WAY
from hpc.run.model.run import Run, Say
from hpc.run.run_state import RunStatus
from pipeline.backlog.sources import Source
from pipeline.database.backlog_audit import Audit, Files


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditResult:
    """Where every post of a backlog is. A notebook shows it as `hpc audit` prints it."""

    name: str
    """The name of the labels."""
    audit: Audit = field(repr=False)
    """The posts by place and by day, and what is wrong with the database's rows."""
    runs_gone: Mapping[str, str]
    """Runs that the database has and whose folder is gone, with that folder."""
    is_whole: bool
    """Whether every post has its row, and nothing is wrong."""
    exit_code: int
    """What `hpc audit` exits with: 0 whole, 1 a person is needed, 3 posts are under way or new."""
    source: Source = field(repr=False)
    """The files that were read."""
    files: Files = field(repr=False)
    """The outputs that were read."""
    config: str = field(repr=False)
    """What follows `--config` in a command about this backlog."""

    def _repr_html_(self) -> str:
        """Return the report, for a notebook."""
        return to_html(describe_audit(self.audit, self.name, self.source, self.files, self.config))


@dataclass(frozen=True, kw_only=True, slots=True)
class PostResult:
    """What happened to one post. A notebook shows it as `hpc audit --post` prints it."""

    uri: str
    """The post."""
    has_row: bool
    """Whether the database has a row of it, with labels or with a reason."""
    history: tuple[str, ...] = field(repr=False)
    """Where it is in the backlog, its row, and its attempts, a line each."""
    exit_code: int
    """What `hpc audit --post` exits with: 0 there is a row, 1 there is none."""

    @property
    def story(self) -> tuple[str, ...]:
        """The former name of `history`."""
        return self.history

    def _repr_html_(self) -> str:
        """Return the history, for a notebook."""
        return to_html([Line(line) for line in self.history])


@check_argument_types
def audit(config: PathText, *, overrides: Overrides = (), say: Say | None = None) -> AuditResult:
    """Compare a backlog with the database and all outputs, and find where each post is.

    Args:
        config: the configuration, a YAML file.
        overrides: values by the path of their key.
        say: receives a message for each folder that is a copy of a run.

    Raises:
        InputError: the configuration or the source is wrong.
        BusyError: somebody has the database open for writing, maybe this process.
        RunError: the database is damaged.
        OSError: the folder for temporary files (`TMPDIR`) is full.
    """
    screen = screen_of(say)
    with library_call():
        backlog = find_backlog(Path(config), override_texts(overrides), screen)
        audited = audit_backlog(backlog, screen)
        return AuditResult(
            name=backlog.config.name,
            audit=audited.audit,
            runs_gone=audited.runs_gone,
            is_whole=audited.audit.is_whole,
            exit_code=_exit_code(audited.audit),
            source=backlog.source,
            files=audited.files,
            config=backlog.config.to_paste,
        )


@check_argument_types
def explain_post(
    config: PathText, uri: str, *, overrides: Overrides = (), say: Say | None = None
) -> PostResult:
    """Return what happened to one post: its row, or why it has none.

    Args:
        config: the configuration, a YAML file.
        uri: the post.
        overrides: values by the path of their key.
        say: receives a message for each folder that is a copy of a run.

    Raises:
        InputError: the configuration or the source is wrong.
        BusyError: somebody has the database open for writing, maybe this process.
        RunError: the database is damaged.
    """
    with library_call():
        backlog = find_backlog(Path(config), override_texts(overrides), screen_of(say))
        files = PostFiles(
            inputs=list_inputs(backlog.runs),
            examine=examine_with(backlog.runs),
            look=_look_with_done,
            problems=[str(each) for each in backlog.unusable],
        )
        code, history = describe_post(backlog.config, backlog.source, backlog.runs, uri, files)
    return PostResult(uri=uri, has_row=code == 0, history=tuple(history), exit_code=code)


def _look_with_done(run: Run) -> RunStatus:
    """Look at a run, with the attempts of shards that are done."""
    return look(run, executor_of(run), include_done=True)


def _exit_code(audit: Audit) -> int:
    if audit.needs_a_person:
        return FAILED
    return 0 if audit.is_whole else UNDER_WAY
