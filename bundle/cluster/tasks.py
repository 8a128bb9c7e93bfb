"""Independent tasks, such as the shards of a data set, and the interface of the engines that carry them out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from platform import node
from typing import ClassVar

from bundle.errors import InputError
from bundle.io import holder_of
from torch.utils.data import Dataset


class Tasks(Dataset[int]):
    """Independent tasks with a length, picklable; access to a row carries out its task, which may be repeated.

    Attributes:
        noun: what a task makes, for messages.
        forked: whether processes of this machine may be forked; otherwise they start afresh, for libraries that a fork
            breaks.
    """

    noun: ClassVar[str] = "task"
    forked: ClassVar[bool] = True

    def __len__(self) -> int:
        raise NotImplementedError

    def check_here(self) -> None:
        """Check that this process can carry out the tasks; called once in each worker of a cluster.

        Raises:
            InputError: it cannot, for example because it does not see the output folder.
        """


class FolderTasks(Tasks):
    """Tasks that write to the output folder that the run has reserved, which all processes share.

    Args:
        folder: output folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, holder_of(folder)

    def check_here(self) -> None:
        """See :meth:`Tasks.check_here`: the output folder holds the lock of this run."""
        if holder_of(self.folder) != self.run:
            folder = self.folder.absolute()
            msg = f"{folder}: not the output folder of the run at {node()}. Mount it there at the same path."
            raise InputError(msg)


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
