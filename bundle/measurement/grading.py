"""How a network states one of five grades of narrowing, and learns to: as names, or in their order."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GRADES = 5
"""Grades of narrowing, 0 to 4 (:func:`bundle.measurement.narrowing_grade`)."""


class GradeCoding(nn.Module):
    """What the numbers of a network say of grades; called, the loss of them.

    Attributes:
        outputs: numbers that the network gives.
    """

    outputs: int

    @abstractmethod
    def probabilities(self, output: Tensor) -> Tensor:
        """Probability of each grade, (B, 5), of a network's numbers (B, outputs)."""

    @abstractmethod
    def loss(self, output: Tensor, grade: Tensor) -> Tensor:
        """Loss of each joint, (B,), of numbers (B, outputs) and true grades (B,)."""

    @abstractmethod
    def grades(self, output: Tensor) -> Tensor:
        """Grades (B,) of a network's numbers (B, outputs)."""

    def forward(self, output: Tensor, grade: Tensor) -> Tensor:
        """Mean loss of a batch.

        Args:
            output: (B, outputs).
            grade: (B,) or (B, 1), of 0 to 4.

        Raises:
            ValueError: the shapes do not agree, or a grade is none.
        """
        true = grade.reshape(-1).long()
        if output.shape != (len(true), self.outputs) or not bool(((true >= 0) & (true < GRADES)).all()):
            msg = (
                f"expected outputs (B, {self.outputs}) and as many grades of 0 to {GRADES - 1}, got "
                f"{tuple(output.shape)} and {grade.flatten().tolist()}"
            )
            raise ValueError(msg)
        return self.loss(output.float(), true).mean()


class NominalGrades(GradeCoding):
    """A number for each grade; cross entropy. Any wrong grade is as wrong as any other."""

    outputs = GRADES

    def probabilities(self, output: Tensor) -> Tensor:
        """See :class:`GradeCoding`."""
        return output.softmax(dim=1)

    def loss(self, output: Tensor, grade: Tensor) -> Tensor:
        """See :class:`GradeCoding`."""
        return F.cross_entropy(output, grade, reduction="none")

    def grades(self, output: Tensor) -> Tensor:
        """The most probable grade."""
        return output.argmax(dim=1)


class OrdinalGrades(GradeCoding):
    """The logits that the grade is above 0, 1, 2 and 3; the sum of their binary cross entropies.

    Ordinal regression by binary tasks (Niu et al., CVPR 2016), made consistent: the first number is the first logit,
    each further one says by how much the next logit is lower, through a softplus.
    """

    outputs = GRADES - 1

    def above(self, output: Tensor) -> Tensor:
        """Logits (B, 4) that the grade is above 0 to 3; they fall."""
        falls = F.softplus(output[:, 1:]).cumsum(dim=1)
        return output[:, :1] - F.pad(falls, (1, 0))

    def probabilities(self, output: Tensor) -> Tensor:
        """See :class:`GradeCoding`."""
        above = F.pad(self.above(output).sigmoid(), (1, 0), value=1.0)
        return above - F.pad(above[:, 1:], (0, 1))

    def loss(self, output: Tensor, grade: Tensor) -> Tensor:
        """See :class:`GradeCoding`."""
        logits = self.above(output)
        true = (grade[:, None] > torch.arange(GRADES - 1, device=grade.device)).to(logits)
        return F.binary_cross_entropy_with_logits(logits, true, reduction="none").sum(dim=1)

    def grades(self, output: Tensor) -> Tensor:
        """As many as are more likely exceeded than not: the median grade."""
        return (self.above(output) > 0).sum(dim=1)
