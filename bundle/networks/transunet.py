"""TransUNet (Chen et al. 2021, arXiv 2102.04306) in the configuration of the LSN generator.

A convolutional encoder reduces the image to 1/16 of its size, transformer blocks apply global attention, and a cascaded
up-sampler with skip connections from the encoder restores full resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from bundle.errors import InputError
from monai.networks.blocks import Convolution, TransformerBlock, UpSample
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 16
"""Height and width of the input must be multiples of this: the stem and three stages each halve the resolution."""


class TransUNet(nn.Module):
    """Hybrid CNN-transformer U-Net; the defaults have 67 M parameters and cost 67 GFLOP for an image of 256 x 256.

    The defaults follow LSN: one unreduced bottleneck per stage, 8 blocks of 4 heads. The ResNet-50 variant of Chen et
    al. is ``encoder_channels=(64, 256, 512, 1024), depths=(3, 4, 9), reduction=4, hidden_size=768, num_heads=12,
    mlp_dim=3072, num_blocks=12``. Attention is scaled by ``1 / sqrt(hidden_size / num_heads)``; the blocks normalise
    before attention and MLP.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the logits.
        img_size: image side in pixels of the learned position embedding, a multiple of 16; for other sizes the
            embedding is interpolated.
        encoder_channels: channels of the stem (1/2 of the resolution) and of the three stages (1/4, 1/8, 1/16).
        depths: bottlenecks in each of the three stages.
        reduction: ratio of a bottleneck's output channels to those of its 3 x 3 convolution.
        hidden_size: size of a token, a multiple of ``num_heads``.
        num_heads: attention heads per block.
        mlp_dim: hidden width of a block's MLP.
        num_blocks: number of transformer blocks.
        bridge_channels: channels between transformer and decoder.
        decoder_channels: channels after each of the four up-sampling steps.
        dropout: dropout rate of embedding, attention and MLP.
        norm: MONAI name of the normalisation of the convolutions.

    Raises:
        InputError: if a size or number of channels is invalid.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        img_size: int = 256,
        encoder_channels: Sequence[int] = (128, 256, 512, 1024),
        depths: Sequence[int] = (1, 1, 1),
        reduction: int = 1,
        hidden_size: int = 1024,
        num_heads: int = 4,
        mlp_dim: int = 512,
        num_blocks: int = 8,
        bridge_channels: int = 512,
        decoder_channels: Sequence[int] = (256, 128, 64, 16),
        dropout: float = 0.1,
        norm: str | tuple = "batch",
    ) -> None:
        super().__init__()
        _check_widths(img_size, encoder_channels, depths, hidden_size, num_heads, decoder_channels)
        stem, half, quarter, eighth = encoder_channels[0], *encoder_channels[1:]
        first, second, third, fourth = decoder_channels
        self.stem = _convolution(in_channels, stem, 7, norm, stride=2)
        self.stage1 = _stage(stem, half, depths[0], reduction, norm)
        self.stage2 = _stage(half, quarter, depths[1], reduction, norm)
        self.stage3 = _stage(quarter, eighth, depths[2], reduction, norm)
        self.transformer = Transformer(eighth, img_size // STRIDE, hidden_size, num_heads, mlp_dim, num_blocks, dropout)
        self.bridge = _convolution(hidden_size, bridge_channels, 3, norm)
        self.up1 = UpStep(bridge_channels, quarter, first, norm)
        self.up2 = UpStep(first, half, second, norm)
        self.up3 = UpStep(second, stem, third, norm)
        self.up4 = UpStep(third, 0, fourth, norm)
        self.logits = nn.Conv2d(fourth, out_channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W), H and W multiples of 16, to logits (B, out_channels, H, W)."""
        if image.shape[-2] % 16 != 0 or image.shape[-1] % 16 != 0:
            msg = f"TransUNet: height and width must be multiples of 16, got {image.shape[-2]} x {image.shape[-1]}"
            raise ValueError(msg)
        half = self.stem(image)
        quarter = self.stage1(half)
        eighth = self.stage2(quarter)
        deep = self.bridge(self.transformer(self.stage3(eighth)))
        up = self.up3(self.up2(self.up1(deep, eighth), quarter), half)
        return self.logits(self.up4(up, None))


def _check_widths(
    img_size: int,
    encoder_channels: Sequence[int],
    depths: Sequence[int],
    hidden_size: int,
    num_heads: int,
    decoder_channels: Sequence[int],
) -> None:
    """Raise an InputError that names the first invalid setting of TransUNet."""
    for name, values, count in (
        ("encoder_channels", encoder_channels, 4),
        ("depths", depths, 3),
        ("decoder_channels", decoder_channels, 4),
    ):
        if len(values) != count or min(values) < 1:
            msg = f"TransUNet: {name} must be {count} positive integers, got {list(values)}"
            raise InputError(msg)
    if img_size < STRIDE or img_size % STRIDE:
        msg = f"TransUNet: img_size must be a multiple of {STRIDE}, got {img_size}"
        raise InputError(msg)
    if hidden_size % num_heads:
        msg = f"TransUNet: hidden_size must be a multiple of num_heads = {num_heads}, got {hidden_size}"
        raise InputError(msg)


def _convolution(
    in_channels: int, out_channels: int, size: int, norm: str | tuple, stride: int = 1, act: str | None = "RELU"
) -> nn.Module:
    """Convolution without bias, then normalisation and, unless ``act`` is None, ReLU."""
    order = "NA" if act else "N"
    return Convolution(2, in_channels, out_channels, stride, size, adn_ordering=order, act=act, norm=norm, bias=False)


class Bottleneck(nn.Module):
    """ResNet bottleneck: 1 x 1, 3 x 3 (strided) and 1 x 1 convolution with a shortcut, projected if needed.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: stride of the 3 x 3 convolution and of the shortcut.
        reduction: the 3 x 3 convolution has ``out_channels // reduction`` channels.
        norm: MONAI name of the normalisation.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, reduction: int, norm: str | tuple) -> None:
        super().__init__()
        width = out_channels // reduction
        self.residual = nn.Sequential(
            _convolution(in_channels, width, 1, norm),
            _convolution(width, width, 3, norm, stride=stride),
            _convolution(width, out_channels, 1, norm, act=None),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = _convolution(in_channels, out_channels, 1, norm, stride=stride, act=None)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        return F.relu(self.residual(features) + self.shortcut(features))


def _stage(in_channels: int, out_channels: int, depth: int, reduction: int, norm: str | tuple) -> nn.Sequential:
    """``depth`` bottlenecks; the first halves the resolution."""
    blocks = [Bottleneck(in_channels, out_channels, 2, reduction, norm)]
    blocks += [Bottleneck(out_channels, out_channels, 1, reduction, norm) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


class Transformer(nn.Module):
    """Pre-norm transformer on the positions of a feature map, with learned position embedding.

    Args:
        in_channels: channels of the feature map.
        grid: side of the feature map of the position embedding.
        hidden_size: size of a token.
        num_heads: attention heads per block.
        mlp_dim: hidden width of a block's MLP.
        num_blocks: number of blocks.
        dropout: dropout rate of embedding, attention and MLP.
    """

    def __init__(
        self,
        in_channels: int,
        grid: int,
        hidden_size: int,
        num_heads: int,
        mlp_dim: int,
        num_blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(in_channels, hidden_size, 1)
        self.positions = nn.Parameter(torch.empty(1, hidden_size, grid, grid))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(
            *(_self_attention_block(hidden_size, num_heads, mlp_dim, dropout) for _ in range(num_blocks))
        )
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, hidden_size, h, w)."""
        height, width = features.shape[-2], features.shape[-1]
        positions: Tensor = self.positions
        if positions.shape[-2] != height or positions.shape[-1] != width:
            positions = F.interpolate(positions, size=[height, width], mode="bicubic", align_corners=False)
        tokens = self.dropout(self.embedding(features) + positions).flatten(2).transpose(1, 2)
        tokens = self.norm(self.blocks(tokens))
        return tokens.transpose(1, 2).unflatten(2, [height, width])


def _self_attention_block(hidden_size: int, num_heads: int, mlp_dim: int, dropout: float) -> nn.Module:
    """MONAI's block without the unused cross-attention normalisation (an unused parameter stops DDP)."""
    block = TransformerBlock(hidden_size, mlp_dim, num_heads, dropout)
    block.add_module("norm_cross_attn", nn.Identity())
    return block


class UpStep(nn.Module):
    """Step of the cascaded up-sampler: bilinear up-sampling by 2, concatenation with the skip, two convolutions.

    Args:
        in_channels: channels of the coarse features.
        skip_channels: channels of the encoder's skip connection, 0 for none.
        out_channels: channels of the result.
        norm: MONAI name of the normalisation.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, norm: str | tuple) -> None:
        super().__init__()
        self.upsample = UpSample(2, in_channels, in_channels, 2, mode="nontrainable", interp_mode="bilinear")
        self.convolutions = nn.Sequential(
            _convolution(in_channels + skip_channels, out_channels, 3, norm),
            _convolution(out_channels, out_channels, 3, norm),
        )

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        """Map (B, in_channels, H, W) and the skip (B, skip_channels, 2 H, 2 W) to (B, out_channels, 2 H, 2 W)."""
        features = self.upsample(features)
        if skip is not None:
            features = torch.cat([skip, features], dim=1)
        return self.convolutions(features)
