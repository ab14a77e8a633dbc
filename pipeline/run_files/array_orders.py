"""Write and read what the tasks of one array have to know: `logs/0002/orders.json`.

It holds numbers only. Which run and which attempt they belong to is not in it: the folder's name
says that, and the batch script, which Slurm keeps a copy of, names the folder.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import field

from pipeline import files
from pipeline.config.keys import Count, Positive, Section
from pipeline.errors import InputError
from pipeline.model import WorkOrder
from pipeline.run_files.json_record import read_record

FILE_NAME = "orders.json"
# The last line of the log of a task that has returned: for programs, since a shard that is done
# keeps no other trace of the attempt.
END_LINE = "the task has ended in good order"


class ArrayOrders(Section, frozen=True, kw_only=True):
    """What all tasks of an array read from their orders."""

    offset: Count
    """What to add to an array index to get the index of the shard."""
    indices: tuple[Count, ...]
    """The array indices that have a task."""
    parallel_tasks: Positive
    """How many tasks of the run may be at work at once."""
    amendments: Count
    """How many of the run's amendments hold for this attempt; later ones do not."""
    requeues: Count
    """How often a task near its time limit may put itself back into the queue."""
    crashed: Mapping[int, tuple[Count, ...]] = field(default_factory=dict)
    """By array index, the former attempts of the shard that crashed."""

    def of_task(self, folder: Path, index: int) -> WorkOrder:
        """Return the order of one task.

        Args:
            folder: the attempt's log folder, absolute.
            index: the task's array index.

        Raises:
            InputError: the array has no such task, or the folder is no log folder.
        """
        if index not in self.indices or not folder.name.isdecimal():
            raise InputError(f"{folder / FILE_NAME} has no order for array task {index}")
        return WorkOrder(
            run_dir=str(folder.parents[1]),
            shard_index=self.offset + index,
            array_task_index=index,
            attempt=int(folder.name),
            parallel_tasks=self.parallel_tasks,
            crashed=",".join(map(str, self.crashed.get(index, ()))),
            amendments=self.amendments,
        )


def write(folder: Path, orders: ArrayOrders) -> None:
    """Write the orders into the attempt's log folder. Safe to repeat."""
    files.write_json(folder / FILE_NAME, orders.to_json())


def read(folder: Path) -> ArrayOrders:
    """Read the orders in an attempt's log folder.

    Raises:
        OSError: there are none, or they cannot be read now.
        InputError: they are damaged, or another version wrote them.
    """
    return read_record(folder / FILE_NAME, ArrayOrders)
