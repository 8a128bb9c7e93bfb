"""Encodings of the five grades of narrowing for a network: nominal or ordinal, with their losses."""

from __future__ import annotations

from abc import abstractmethod

import torch
from bundle.errors import InputError
from torch import Tensor, nn
from torch.nn import functional as F

GRADES = 5
"""Grades of narrowing, 0 to 4 (:func:`bundle.measurement.narrowing_grade`)."""


class GradeCoding(nn.Module):
    """Encoding of grades in the outputs of a network; calling it computes the loss.

    Attributes:
        outputs: number of outputs of the network.
    """

    outputs: int

    @abstractmethod
    def probabilities(self, output: Tensor, temperature: float = 1.0) -> Tensor:
        """Compute the probability of each grade, (B, 5), from outputs (B, outputs).

        Logits are divided by the temperature, which does not change the predicted grade (temperature scaling).
        """

    @abstractmethod
    def loss(self, output: Tensor, grade: Tensor) -> Tensor:
        """Compute the loss of each joint, (B,), from outputs (B, outputs) and true grades (B,)."""

    @abstractmethod
    def grades(self, output: Tensor) -> Tensor:
        """Predict grades (B,) from outputs (B, outputs)."""

    def forward(self, output: Tensor, grade: Tensor) -> Tensor:
        """Compute the mean loss of a batch.

        Args:
            output: outputs of the network, (B, outputs).
            grade: true grades 0 to 4, (B,) or (B, 1).

        Raises:
            InputError: if the shapes do not match, or a grade is invalid.
        """
        true = grade.reshape(-1).long()
        if output.shape != (len(true), self.outputs) or not bool(((true >= 0) & (true < GRADES)).all()):
            msg = (
                f"outputs must be (B, {self.outputs}) with as many grades of 0 to {GRADES - 1}, got "
                f"{tuple(output.shape)} and {grade.flatten().tolist()}. Pass --outputs {self.outputs}."
            )
            raise InputError(msg)
        return self.loss(output.float(), true).mean()


class NominalGrades(GradeCoding):
    """Nominal encoding: one logit per grade, with cross entropy. All wrong grades cost the same."""

    outputs = GRADES

    def probabilities(self, output: Tensor, temperature: float = 1.0) -> Tensor:
        """See :class:`GradeCoding`."""
        return (output / temperature).softmax(dim=1)

    def loss(self, output: Tensor, grade: Tensor) -> Tensor:
        """See :class:`GradeCoding`."""
        return F.cross_entropy(output, grade, reduction="none")

    def grades(self, output: Tensor) -> Tensor:
        """Predict the most probable grade."""
        return output.argmax(dim=1)


class OrdinalGrades(GradeCoding):
    """Ordinal encoding: logits that the grade is above 0, 1, 2 and 3, with the sum of their binary cross entropies.

    Ordinal regression by binary tasks (Niu et al., CVPR 2016), made consistent: the first output is the first logit;
    the softplus of each further output is the decrease to the next logit.
    """

    outputs = GRADES - 1

    def above(self, output: Tensor) -> Tensor:
        """Compute the logits (B, 4) that the grade is above 0 to 3, in decreasing order."""
        falls = F.softplus(output[:, 1:]).cumsum(dim=1)
        return output[:, :1] - F.pad(falls, (1, 0))

    def probabilities(self, output: Tensor, temperature: float = 1.0) -> Tensor:
        """See :class:`GradeCoding`."""
        above = F.pad((self.above(output) / temperature).sigmoid(), (1, 0), value=1.0)
        return above - F.pad(above[:, 1:], (0, 1))

    def loss(self, output: Tensor, grade: Tensor) -> Tensor:
        """See :class:`GradeCoding`."""
        logits = self.above(output)
        true = (grade[:, None] > torch.arange(GRADES - 1, device=grade.device)).to(logits)
        return F.binary_cross_entropy_with_logits(logits, true, reduction="none").sum(dim=1)

    def grades(self, output: Tensor) -> Tensor:
        """Predict the median grade: the number of thresholds that are more likely exceeded than not."""
        return (self.above(output) > 0).sum(dim=1)
