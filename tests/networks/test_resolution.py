"""Any size and resolution for a network: what it sees, and where its logits land."""

from __future__ import annotations

import pytest
import torch
from bundle.errors import InputError
from bundle.networks.resolution import ReducedResolution
from torch import Tensor, nn
from torch.nn import functional as F


class Recorder(nn.Module):
    """A network that keeps what it was given and gives it back."""

    seen: Tensor

    def forward(self, image: Tensor) -> Tensor:
        self.seen = image
        return image


def draw(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("reduction", [1, 2, 3])
@pytest.mark.parametrize("size", [(96, 192), (97, 31), (1, 1)])
def test_network_sees_multiples_of_32_and_logits_have_the_size_of_the_image(
    reduction: int, size: tuple[int, int]
) -> None:
    recorder = Recorder()
    logits = ReducedResolution(recorder, reduction)(draw(2, 4, *size))
    assert logits.shape == (2, 4, *size)
    for seen, side in zip(recorder.seen.shape[-2:], size, strict=True):
        assert seen % 32 == 0
        assert (seen - 32) * reduction < side <= seen * reduction


def test_without_reduction_nothing_changes() -> None:
    image = draw(1, 3, 45, 70)
    assert torch.equal(ReducedResolution(Recorder())(image), image)


@pytest.mark.parametrize("reduction", [1, 2])
def test_network_sees_the_averaged_image_continued_by_its_border(reduction: int) -> None:
    recorder = Recorder()
    image = draw(1, 3, 40, 64)
    ReducedResolution(recorder, reduction)(image)
    rows = 40 // reduction
    torch.testing.assert_close(recorder.seen[..., :rows, :], F.avg_pool2d(image, reduction))
    last = F.avg_pool2d(image[..., -1:, :], (1, reduction))
    torch.testing.assert_close(recorder.seen[..., rows:, :], last.expand_as(recorder.seen[..., rows:, :]))


@pytest.mark.parametrize("reduction", [2, 3, 4])
def test_reduced_logits_lie_over_the_image(reduction: int) -> None:
    ramp = torch.linspace(0.0, 1.0, 96).expand(1, 1, 96, 96)
    logits = ReducedResolution(Recorder(), reduction)(ramp)
    inside = slice(reduction, 96 - 2 * reduction)
    torch.testing.assert_close(logits[..., inside], ramp[..., inside])


def test_scripted_network_gives_the_same_logits() -> None:
    network = ReducedResolution(nn.Conv2d(3, 2, 3, padding=1), 2)
    image = draw(1, 3, 45, 70)
    torch.testing.assert_close(torch.jit.script(network)(image), network(image))


@pytest.mark.parametrize("reduction", [0, -2])
def test_a_reduction_below_one_is_refused(reduction: int) -> None:
    with pytest.raises(InputError, match=f"reduction must be 1 or more, got {reduction}"):
        ReducedResolution(Recorder(), reduction)
