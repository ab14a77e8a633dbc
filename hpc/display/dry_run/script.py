"""Show a batch script so that a person can read it on 80 columns."""

import re
import textwrap
from collections.abc import Iterator, Sequence

WIDTH = 78
# The lines that guard `cluster.setup` are long, and the same in every script.
_GUARD = re.compile(r"^trap 'hpc_setup_|^hpc_setup_is_over=|^\[\[ \"\$\(trap -p ")
# The tasks must not start before the submission is recorded, or a crash between would lose them.
_WAITS = "#SBATCH --begin="
_WAITS_NOTE = "# (only until hpc has recorded the job id; then the tasks may start at once)"
_GUARD_NOTE = "# (lines of hpc that end the script if a line of cluster.setup fails)"


def describe_script(script: str) -> list[str]:
    """Return a heading and the script: long commands are continued, and guards are left out.

    A continued command means the same. `--json` has the script as it is.
    """
    return ["the batch script (sbatch), whose run id ends in zeros here:", *_lines(script)]


def _lines(script: str) -> Iterator[str]:
    is_guarded = False
    for line in script.rstrip("\n").splitlines():
        if _GUARD.match(line):
            if not is_guarded:
                yield f"  {_GUARD_NOTE}"
            is_guarded = True
            continue
        is_guarded = False
        yield from _continue_lines(line)
        if line.startswith(_WAITS):
            yield f"  {_WAITS_NOTE}"


def _continue_lines(line: str) -> Iterator[str]:
    if len(line) <= WIDTH or line.startswith("#"):
        yield f"  {line}".rstrip()
        return
    parts: Sequence[str] = textwrap.wrap(
        line, WIDTH - 2, break_long_words=False, break_on_hyphens=False, subsequent_indent="    "
    )
    for part in parts[:-1]:
        yield f"  {part} \\"
    yield f"  {parts[-1]}"
