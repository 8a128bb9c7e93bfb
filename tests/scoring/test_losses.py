"""The loss of the regressor against its definition, and the uncertainty that it teaches."""

from __future__ import annotations

import math

import pytest
import torch
from bundle.scoring.losses import JointSpaceLoss, predicted_joint_space
from hypothesis import given
from hypothesis import strategies as st


@given(seed=st.integers(0, 1000), beta=st.sampled_from([0.1, 0.3]), weight=st.sampled_from([0.0, 0.1, 1.0]))
def test_the_loss_is_the_one_of_its_equation(seed: int, beta: float, weight: float) -> None:
    torch.manual_seed(seed)
    output, true = torch.randn(5, 2), torch.randn(5)
    expected = 0.0
    for (width, spread), value in zip(output.tolist(), true.tolist(), strict=True):
        error = abs(width - value)
        expected += error**2 / (2 * beta) if error < beta else error - beta / 2
        expected += weight * (min(spread, 2.0) + error * math.exp(-min(spread, 2.0)))
    assert float(JointSpaceLoss(beta, weight)(output, true[:, None])) == pytest.approx(expected / 5, rel=1e-4)


def test_the_likelihood_does_not_act_on_the_joint_space() -> None:
    output = torch.tensor([[1.0, -2.0]], requires_grad=True)
    JointSpaceLoss(weight=10.0)(output, torch.tensor([1.05])).backward()
    assert output.grad is not None and float(output.grad[0, 0]) == pytest.approx(-0.05 / 0.3, rel=1e-4)


def test_the_best_uncertainty_is_the_mean_absolute_error() -> None:
    errors = torch.tensor([0.02, 0.1, 0.3])
    spread = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([spread], lr=1.0)
    for _ in range(200):
        optimizer.zero_grad()
        JointSpaceLoss()(torch.stack([errors, spread.expand(3)], dim=1), torch.zeros(3)).backward()
        optimizer.step()
    _, deviation = predicted_joint_space(torch.stack([torch.zeros(1), spread.detach()], dim=1))
    assert float(deviation) == pytest.approx(math.sqrt(2) * float(errors.mean()), rel=0.01)


def test_outputs_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"outputs must be \(B, 2\)"):
        JointSpaceLoss()(torch.zeros(3, 1), torch.zeros(3))
