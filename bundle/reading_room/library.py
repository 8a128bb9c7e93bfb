"""What a reading room shows: a folder of results, a data set, radiographs, or phantoms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

from bundle.errors import InputError
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.rows import JointRow

Report = Callable[[str, float], None]
"""Receiver of the progress of opening: stage, and fraction done."""


class UnknownJoint(InputError):
    """No joint has the requested identifier."""


class Library(ABC):
    """A collection of joints.

    Attributes:
        kind: what it holds, in words.
        title: name that the pages show.
    """

    kind: str
    title: str

    @abstractmethod
    def listed(self) -> Mapping[str, JointRow]:
        """Return the joints by identifier, in order; a later call includes those added meanwhile."""

    def rows(self) -> Sequence[JointRow]:
        """Return the joints in order."""
        return list(self.listed().values())

    @abstractmethod
    def load(self, row: JointRow, report: Report) -> OpenedJoint | list[str]:
        """Load a joint, or the radiograph of a hand, whose joints become rows.

        Returns:
            The joint, or the identifiers of the joints of a hand.

        Raises:
            InputError: it cannot be used.
        """

    def row(self, identifier: str) -> JointRow:
        """Return a joint by its identifier.

        Raises:
            UnknownJoint: there is none.
        """
        return self.chosen([identifier])[0]

    def chosen(self, identifiers: Iterable[str]) -> list[JointRow]:
        """Return joints by their identifiers.

        Raises:
            UnknownJoint: there is no such joint.
        """
        listed = self.listed()
        try:
            return [listed[identifier] for identifier in identifiers]
        except KeyError as error:
            msg = "The list has no such joint. Reload the page."
            raise UnknownJoint(msg) from error


class FixedLibrary(Library):
    """A collection whose rows do not change."""

    @cached_property
    def _listed(self) -> dict[str, JointRow]:
        return {row.id: row for row in self.read()}

    @abstractmethod
    def read(self) -> list[JointRow]:
        """Read the rows once."""

    def listed(self) -> Mapping[str, JointRow]:
        """See :meth:`Library.listed`."""
        return self._listed
