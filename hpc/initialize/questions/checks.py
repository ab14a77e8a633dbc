"""Check answers that are numbers, times or addresses. Pure."""

import math

from hpc.initialize.questions.question import InvalidAnswer
from hpc.run.cluster.slurm_time import format_slurm_time, parse_slurm_time


def whole_number(answer: str) -> str:
    """Return a whole number, 1 or more; commas may separate thousands. Raises InvalidAnswer."""
    digits = answer.replace(",", "").replace("_", "")
    if not (digits.isascii() and digits.isdecimal()) or int(digits[:18]) < 1:
        raise InvalidAnswer("should be a whole number, 1 or more")
    return str(int(digits[:18]))


def one_word(answer: str) -> str:
    """Return a name that Slurm or a hub gives to something. Raises InvalidAnswer."""
    if len(answer.split()) != 1:
        raise InvalidAnswer(f"should be one word, not {answer!r}")
    return answer


def memory(answer: str, largest_gb: float) -> str:
    """Return a number of GiB that a node has; 0: that is not known. Raises InvalidAnswer."""
    try:
        number = float(answer)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise InvalidAnswer("should be a number of GiB above 0, such as 4")
    if largest_gb and number > largest_gb:
        raise InvalidAnswer(f"is more than any node of the partition has ({largest_gb:.3g} GiB)")
    return f"{number:.6g}"


def time_limit(answer: str, longest_min: int | None) -> str:
    """Return a time in Slurm's notation that a partition allows. Raises InvalidAnswer."""
    try:
        minutes = parse_slurm_time(answer)
    except ValueError as error:
        raise InvalidAnswer(str(error)) from None
    if longest_min is not None and minutes > longest_min:
        raise InvalidAnswer(f"is more than the partition allows ({format_slurm_time(longest_min)})")
    return answer.strip()
