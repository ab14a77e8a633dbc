"""Check everything that can be known before anything is spent."""

from dataclasses import dataclass
from pathlib import Path

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.overrides import Overrides, override_texts
from hpc.api.call.place import PathText
from hpc.api.call.ranges import check_above_zero
from hpc.api.call.surroundings import library_call
from hpc.checks.describe_findings import describe_findings, summarize_findings
from hpc.checks.finding import Finding, Level
from hpc.display.blocks import Block, Line
from hpc.display.html.render import to_html
from hpc.planning.check_run import CheckRequest, check_run
from hpc.run.exit_codes import FAILED, WRONG
from hpc.run.model.run import Say
from pipeline.messages.options import PATIENCE

PATIENCE_S = 300.0


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class CheckResult:
    """What all checks found. A notebook shows it as `hpc check` prints it."""

    findings: tuple[Finding, ...]
    """What each check found, in the order of their parts."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings because of which a run would fail."""
        return self._of_level(Level.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that a person should know, and with which a run can start."""
        return self._of_level(Level.WARNING)

    @property
    def exit_code(self) -> int:
        """What `hpc check` exits with: 0 no error, 2 the configuration or input is wrong, or 1."""
        if any(each.is_input for each in self.errors):
            return WRONG
        return FAILED if self.errors else 0

    def describe(self) -> list[Block]:
        """Return the report as `hpc check` prints it."""
        return [
            *describe_findings(self.findings),
            Line(""),
            summarize_findings(self.findings),
        ]

    def _of_level(self, level: Level) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.level is level)

    def __repr__(self) -> str:
        """Return how many findings need a person."""
        return (
            f"CheckResult(errors={len(self.errors)}, warnings={len(self.warnings)}, "
            f"exit_code={self.exit_code})"
        )

    def _repr_html_(self) -> str:
        """Return the report, for a notebook."""
        return to_html(self.describe())


@check_argument_types
def check(
    config: PathText,
    *,
    overrides: Overrides = (),
    ask_service: bool = True,
    on_node: bool = False,
    patience_s: float = PATIENCE_S,
    say: Say | None = None,
) -> CheckResult:
    """Return what all checks of a configuration and its surroundings find. Nothing is written.

    What is wrong is a finding and no error, so that all of it is found at once.

    Args:
        config: the configuration, a YAML file.
        overrides: values by the path of their key.
        ask_service: label a sentence by the real service, which may cost a fraction of a cent.
        on_node: also run a one-minute job that looks at everything from a compute node.
        patience_s: how many seconds that job may wait for its start.
        say: receives each message, such as that a job waits.

    Raises:
        InputError: an argument is wrong.
        KeyboardInterrupt: somebody has interrupted it. A job on a node is canceled.
    """
    check_above_zero(PATIENCE, patience_s)
    request = CheckRequest(
        config=Path(config),
        overrides=override_texts(overrides),
        asks_service=ask_service,
        looks_at_node=on_node,
        patience_s=patience_s,
    )
    with library_call():
        return CheckResult(findings=check_run(request, screen_of(say)))
