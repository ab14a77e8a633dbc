"""Offer hpc as a library: the functions that the verbs call, for notebooks and programs.

Nothing is printed: each function returns a frozen value, and hands its messages to `say` if that
is given. No function ends the process, or leaves a setting or a signal handler of it changed.

A name is imported when it is used first: `from hpc import api` takes no time, and a verb loads only
what it needs.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpc.api.adoption import AdoptResult as AdoptResult
    from hpc.api.adoption import AdoptSettings as AdoptSettings
    from hpc.api.adoption import adopt as adopt
    from hpc.api.analysis.coding import GoldResult as GoldResult
    from hpc.api.analysis.coding import GoldSettings as GoldSettings
    from hpc.api.analysis.coding import gold as gold
    from hpc.api.analysis.comparing import CompareResult as CompareResult
    from hpc.api.analysis.comparing import CompareSettings as CompareSettings
    from hpc.api.analysis.comparing import compare as compare
    from hpc.api.analysis.drawing import SampleResult as SampleResult
    from hpc.api.analysis.drawing import SampleSettings as SampleSettings
    from hpc.api.analysis.drawing import sample as sample
    from hpc.api.analysis.label_table import ExportResult as ExportResult
    from hpc.api.analysis.label_table import LabelQuery as LabelQuery
    from hpc.api.analysis.label_table import export as export
    from hpc.api.analysis.label_table import labels as labels
    from hpc.api.analysis.label_table import labels_batches as labels_batches
    from hpc.api.analysis.reporting import ReportResult as ReportResult
    from hpc.api.analysis.reporting import report as report
    from hpc.api.archiving import CleanResult as CleanResult
    from hpc.api.archiving import RestoreResult as RestoreResult
    from hpc.api.archiving import clean as clean
    from hpc.api.archiving import restore as restore
    from hpc.api.attempts import LogsResult as LogsResult
    from hpc.api.attempts import ShardLogs as ShardLogs
    from hpc.api.attempts import logs as logs
    from hpc.api.auditing import AuditResult as AuditResult
    from hpc.api.auditing import PostResult as PostResult
    from hpc.api.auditing import audit as audit
    from hpc.api.auditing import explain_post as explain_post
    from hpc.api.call.choose_run import RunChoice as RunChoice
    from hpc.api.call.choose_run import find_run as find_run
    from hpc.api.call.overrides import Overrides as Overrides
    from hpc.api.call.place import Place as Place
    from hpc.api.cancellation import CancelResult as CancelResult
    from hpc.api.cancellation import cancel as cancel
    from hpc.api.checking import CheckResult as CheckResult
    from hpc.api.checking import check as check
    from hpc.api.estimation.estimator_table import EstimatorQuery as EstimatorQuery
    from hpc.api.estimation.estimator_table import EstimatorTableResult as EstimatorTableResult
    from hpc.api.estimation.estimator_table import export_for_estimator as export_for_estimator
    from hpc.api.gathering import GatherResult as GatherResult
    from hpc.api.gathering import gather as gather
    from hpc.api.listing import RunList as RunList
    from hpc.api.listing import ls as ls
    from hpc.api.notebook_screen import NotebookScreen as NotebookScreen
    from hpc.api.notebook_screen import notebook as notebook
    from hpc.api.resubmission import ResubmitResult as ResubmitResult
    from hpc.api.resubmission import ResubmitSettings as ResubmitSettings
    from hpc.api.resubmission import resubmit as resubmit
    from hpc.api.run_status import ShardStatus as ShardStatus
    from hpc.api.run_status import StatusResult as StatusResult
    from hpc.api.run_status import efficiency as efficiency
    from hpc.api.run_status import runs as runs
    from hpc.api.run_status import status as status
    from hpc.api.submission import SubmitResult as SubmitResult
    from hpc.api.submission import plan as plan
    from hpc.api.submission import preview as preview
    from hpc.api.submission import submit as submit
    from hpc.api.supervision import wait as wait
    from hpc.api.supervision import watch as watch
    from hpc.api.trying import TryResult as TryResult
    from hpc.api.trying import TrySettings as TrySettings
    from hpc.api.trying import try_posts as try_posts
    from hpc.display.run.attempts import AttemptLog as AttemptLog
    from hpc.efficiency.run_efficiency import RunEfficiency as RunEfficiency
    from hpc.planning.run_spec import Canary as Canary
    from hpc.planning.run_spec import Selection as Selection
    from hpc.run.model.run import Run as Run
    from hpc.run.model.shards import State as State
    from hpc.run.run_state import RunState as RunState
    from pipeline.errors import BusyError as BusyError
    from pipeline.errors import Cause as Cause
    from pipeline.errors import InputError as InputError
    from pipeline.errors import Interruption as Interruption
    from pipeline.errors import RunError as RunError
    from pipeline.sampling.allocate import Allocation as Allocation
    from pipeline.sampling.draw import DrawRequest as DrawRequest

_HOMES = {
    "hpc.api.adoption": ("AdoptResult", "AdoptSettings", "adopt"),
    "hpc.api.archiving": ("CleanResult", "RestoreResult", "clean", "restore"),
    "hpc.api.attempts": ("LogsResult", "ShardLogs", "logs"),
    "hpc.api.auditing": ("AuditResult", "PostResult", "audit", "explain_post"),
    "hpc.api.cancellation": ("CancelResult", "cancel"),
    "hpc.api.call.choose_run": ("RunChoice", "find_run"),
    "hpc.api.checking": ("CheckResult", "check"),
    "hpc.api.analysis.coding": ("GoldResult", "GoldSettings", "gold"),
    "hpc.api.analysis.comparing": ("CompareResult", "CompareSettings", "compare"),
    "hpc.api.analysis.drawing": ("SampleResult", "SampleSettings", "sample"),
    "hpc.api.estimation.estimator_table": (
        "EstimatorQuery",
        "EstimatorTableResult",
        "export_for_estimator",
    ),
    "hpc.api.gathering": ("GatherResult", "gather"),
    "hpc.api.analysis.label_table": (
        "ExportResult",
        "LabelQuery",
        "export",
        "labels",
        "labels_batches",
    ),
    "hpc.api.listing": ("RunList", "ls"),
    "hpc.api.notebook_screen": ("NotebookScreen", "notebook"),
    "hpc.api.call.overrides": ("Overrides",),
    "hpc.api.call.place": ("Place",),
    "hpc.api.analysis.reporting": ("ReportResult", "report"),
    "hpc.api.resubmission": ("ResubmitResult", "ResubmitSettings", "resubmit"),
    "hpc.api.run_status": ("ShardStatus", "StatusResult", "efficiency", "runs", "status"),
    "hpc.api.submission": ("SubmitResult", "plan", "preview", "submit"),
    "hpc.api.supervision": ("wait", "watch"),
    "hpc.api.trying": ("TryResult", "TrySettings", "try_posts"),
    "hpc.display.run.attempts": ("AttemptLog",),
    "hpc.efficiency.run_efficiency": ("RunEfficiency",),
    "hpc.planning.run_spec": ("Canary", "Selection"),
    "hpc.run.model.run": ("Run",),
    "hpc.run.model.shards": ("State",),
    "hpc.run.run_state": ("RunState",),
    "pipeline.errors": ("BusyError", "Cause", "InputError", "Interruption", "RunError"),
    "pipeline.sampling.allocate": ("Allocation",),
    "pipeline.sampling.draw": ("DrawRequest",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    """Import a name when it is used first."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the names, for completion."""
    return sorted({*globals(), *_HOME_OF})
