"""Networks in the memory format channels last: the same outputs, gradients and parameters."""

from __future__ import annotations

import copy

import pytest
import torch
from bundle.networks import channels_last, fast_to_train
from bundle.networks.channels_last import ChannelsLastNorm
from bundle.networks.resolution import ReducedResolution
from bundle.networks.subpixel import SubpixelUNet
from torch import Tensor, nn
from torch.nn import functional as F


def network() -> ReducedResolution:
    torch.manual_seed(0)
    return ReducedResolution(SubpixelUNet(3, 2, (4, 8, 8, 8, 8, 4), width=2))


def norm(dtype: torch.dtype) -> ChannelsLastNorm:
    torch.manual_seed(0)
    usual = nn.InstanceNorm2d(5, affine=True, dtype=dtype)
    nn.init.uniform_(usual.weight, 0.5, 2.0)
    nn.init.normal_(usual.bias)
    return ChannelsLastNorm.like(usual)


def image(dtype: torch.dtype = torch.float32) -> Tensor:
    values = 3.0 + 2.0 * torch.randn(2, 5, 12, 9, dtype=dtype, generator=torch.Generator().manual_seed(1))
    return values.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("contiguous", [True, False])
def test_a_norm_equals_the_one_of_torch_and_keeps_the_format(contiguous: bool) -> None:
    made, given = norm(torch.float32), image() if contiguous else image().contiguous()
    found = made(given)
    torch.testing.assert_close(found, F.instance_norm(given, weight=made.weight, bias=made.bias), rtol=0, atol=2e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_gradients_of_a_norm_are_those_of_torch() -> None:
    made, given = norm(torch.float32), image().requires_grad_()
    outer = torch.randn(given.shape, generator=torch.Generator().manual_seed(2))
    inputs = (given, made.weight, made.bias)
    found = torch.autograd.grad(made(given), inputs, outer)
    wanted = torch.autograd.grad(F.instance_norm(given, weight=made.weight, bias=made.bias), inputs, outer)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_gradients_of_a_norm_agree_with_finite_differences() -> None:
    made, given = norm(torch.float64), image(torch.float64)[:, :, :3, :4].requires_grad_()
    apply = ChannelsLastNorm.normalize
    assert torch.autograd.gradcheck(lambda *inputs: apply(*inputs, 1e-5), (given, made.weight, made.bias))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_left_to_torch(dtype: torch.dtype) -> None:
    made, given = norm(dtype), image(dtype)
    assert torch.equal(made(given), F.instance_norm(given, weight=made.weight, bias=made.bias))


def test_a_converted_network_has_the_same_parameters_outputs_and_gradients() -> None:
    usual, given = network(), torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(3))
    wanted, parameters = copy.deepcopy(usual), list(usual.parameters())
    converted = channels_last(usual)
    assert converted is usual
    assert all(one is other for one, other in zip(parameters, converted.parameters(), strict=True))
    assert list(converted.state_dict()) == list(wanted.state_dict())
    assert sum(isinstance(module, ChannelsLastNorm) for module in converted.modules()) == 18
    found, output = converted(given), wanted(given)
    torch.testing.assert_close(found, output, rtol=0, atol=1e-5)
    found.square().sum().backward()
    output.square().sum().backward()
    given_gradients, gradients = (
        torch.cat([values.grad.flatten() for values in model.parameters() if values.grad is not None])
        for model in (converted, wanted)
    )
    assert len(gradients) == sum(values.numel() for values in parameters)
    torch.testing.assert_close(given_gradients, gradients, rtol=1e-3, atol=1e-4 * float(gradients.abs().max()))


def test_networks_on_a_cpu_are_converted_for_training() -> None:
    usual, elsewhere = network(), network().to("meta")
    assert fast_to_train(usual) is usual
    assert any(isinstance(module, ChannelsLastNorm) for module in usual.modules())
    assert fast_to_train(elsewhere) is elsewhere
    assert not any(isinstance(module, ChannelsLastNorm) for module in elsewhere.modules())
    assert isinstance(fast_to_train(nn.Identity()), nn.Identity)


def test_norms_that_are_no_plain_instance_norms_stay() -> None:
    others = nn.Sequential(nn.InstanceNorm2d(3), nn.InstanceNorm2d(3, affine=True, track_running_stats=True))
    assert [type(module) for module in channels_last(others)] == [nn.InstanceNorm2d] * 2
