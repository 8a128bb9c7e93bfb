"""Tasks that make the shards of a data set, and the interface of the engines that carry them out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch.utils.data import Dataset


class Tasks(Dataset[int]):
    """Independent tasks with a length, picklable; access to a row carries out its task, which may be repeated."""

    def __len__(self) -> int:
        raise NotImplementedError

    def check_here(self) -> None:
        """Check that this process can carry out the tasks; called once in each worker of a cluster.

        Raises:
            InputError: it cannot, for example because it does not see the output folder.
        """


class Engine(ABC):
    """Engine that carries out independent tasks."""

    @abstractmethod
    def run(self, tasks: Tasks) -> Iterator[int]:
        """Carry out all tasks and yield the result of each in any order.

        Args:
            tasks: tasks to carry out.

        Raises:
            InputError: a task cannot be carried out, or the engine is not available.
        """
