"""Guard the lines of `cluster.setup` in a batch script: a line that fails ends the script. Pure.

Without a guard, bash ignores `module load` and `source …/activate` that fail, and the task labels
with whatever Python is there. `set -e` is no guard: it stays on inside the scripts that a line
sources, and profiles and modules have conditions that fail without harm.
"""

from collections.abc import Sequence

# Each on one line, because $LINENO is the line of the command that failed only there.
_BEFORE = (
    # Conditions (`if`, `&&`, `||`) do not count, as with `set -e`. A deeper BASH_SOURCE means that
    # the command is in a script that a line sources: only the status of the whole script counts.
    "trap 'hpc_setup_code=$? hpc_setup_line=$LINENO; "
    'if [ -z "${hpc_setup_is_over-}" ] && [ ${#BASH_SOURCE[@]} -le 1 ]; then '
    'hpc_setup_is_over=failed; mapfile -t hpc_setup_lines < "$0"; '
    'echo "hpc: cluster.setup failed with exit code $hpc_setup_code, so the task did not start: '
    '${hpc_setup_lines[hpc_setup_line - 1]}" >&2; '
    "exit $hpc_setup_code; fi' ERR",
    # A line such as `exit 0` would leave a job that has COMPLETED and done nothing.
    "trap 'hpc_setup_code=$?; "
    'if [ -z "${hpc_setup_is_over-}" ]; then '
    'echo "hpc: a line of cluster.setup ended the script with exit code $hpc_setup_code, so the '
    'task did not start" >&2; '
    "[ $hpc_setup_code -ne 0 ] || exit 1; fi' EXIT",
)
# A line may have set traps of its own, which stay.
_AFTER = (
    "hpc_setup_is_over=yes",
    '[[ "$(trap -p ERR)" != *hpc_setup_is_over* ]] || trap - ERR',
    '[[ "$(trap -p EXIT)" != *hpc_setup_is_over* ]] || trap - EXIT',
)


def guard_setup(lines: Sequence[str]) -> list[str]:
    """Return lines of bash that run these lines, and end the script where one of them fails.

    The script then prints the line that failed on stderr and exits with its status. A line that
    ends in `|| true` never fails.
    """
    return [*_BEFORE, *lines, *_AFTER] if lines else []
