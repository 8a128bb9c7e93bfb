"""Batched multigrid solver of the Laplace equation on the unknown pixels of an image.

Conductances couple an unknown pixel to its unknown neighbours and pin it to the values of its known neighbours. A
coarse pixel merges 2 x 2 pixels and has the same form, so one description serves every level: conductances across a
coarse edge are added and halved, because the distance doubles; the pins of the four pixels are added. The V-cycle over
these levels preconditions conjugate gradients, which ensures convergence for any mask.

A level is stored row by row, (B, N), so that neighbours are shifts by 1 and by the width.
"""

# Annotations stay objects here: torch.jit.script does not resolve those of a NamedTuple from text.
from typing import NamedTuple

import torch
from bundle.physics.exporting import exporting
from torch import Tensor
from torch.nn import functional as F

DAMPING = 0.8
"""Damping factor of the Jacobi sweeps."""

SOFTENING = 0.04
"""Reduction of the pins of a coarse pixel, whose centre is farther from the known pixels. Of the values 0 to 0.1, this
one converges fastest on radiographs; it does not change the solution."""

CYCLES = 3
"""Number of conjugate gradient steps of the separation, each with one V-cycle; each divides the error by about 4."""

COARSEST = 64
"""Largest number of pixels of the coarsest level."""


class Grid(NamedTuple):
    """One level: ``A u = diagonal u - sum of conductance times neighbour``, zero at the known pixels.

    Attributes:
        right: conductance between a pixel and its right neighbour, (B, N - 1), 0 at the end of a row.
        down: conductance between a pixel and the pixel below, (B, N - width).
        diagonal: sum of a pixel's conductances, including those to known pixels, (B, N); 0 where known.
        inverse: inverse of the diagonal; 0 where known.
        unknown: 1 where the pixel is unknown, 0 where known, (B, N).
        height: height in pixels.
        width: width in pixels.
    """

    right: Tensor
    down: Tensor
    diagonal: Tensor
    inverse: Tensor
    unknown: Tensor
    height: int
    width: int


def solve_laplace(values: Tensor, known: Tensor, cycles: int) -> Tensor:
    """Solve the five-point Laplace equation at the unknown pixels, with no flux through the image border.

    Args:
        values: image, (B, 1, H, W); only known pixels are used.
        known: binary map of the known pixels, (B, 1, H, W).
        cycles: number of conjugate gradient steps, each with one V-cycle.

    Returns:
        (B, 1, H, W), 0 at the known pixels.
    """
    grids, sources = _levels(values, known)
    coarsest = _inverse(grids[-1])
    solution = _cascade(grids, sources, coarsest)
    return _conjugate_gradients(grids, coarsest, solution, sources[0], cycles).reshape(values.shape)


def _levels(values: Tensor, known: Tensor, coarsest: int = COARSEST) -> tuple[list[Grid], list[Tensor]]:
    """Levels from fine to coarse, and the source term of each pixel from its known neighbours, (B, N)."""
    unknown = 1.0 - known
    right = F.pad(unknown[..., 1:] * unknown[..., :-1], [0, 1])
    down = F.pad(unknown[..., 1:, :] * unknown[..., :-1, :], [0, 0, 0, 1])
    pinned = unknown * _neighbours(known)
    source = unknown * _neighbours(values * known)
    known_sides = torch.cat([pinned, source], dim=1)
    grids = [_grid(right, down, pinned)]
    sources = [source.flatten(1)]
    while right.shape[-2] * right.shape[-1] > coarsest:
        right, down, known_sides = _coarsen(right, down, known_sides)
        grids.append(_grid(right, down, known_sides[:, :1]))
        sources.append(known_sides[:, 1:].flatten(1))
    return grids, sources


def _neighbours(field: Tensor) -> Tensor:
    """Sum of the four neighbours, with 0 past the border."""
    padded = F.pad(field, [1, 1, 1, 1])
    across = padded[..., 1:-1, 2:] + padded[..., 1:-1, :-2]
    return across.add_(padded[..., 2:, 1:-1]).add_(padded[..., :-2, 1:-1])


def _coarsen(right: Tensor, down: Tensor, pins: Tensor, softening: float = SOFTENING) -> tuple[Tensor, Tensor, Tensor]:
    """Halve the resolution of conductances, (B, 1, H, W), and of pins with their source terms, (B, 2, H, W)."""
    right, down, pins = _even(right), _even(down), _even(pins)
    across, along = right[..., 1::2], down[..., 1::2, :]
    right = 0.5 * (across[..., ::2, :] + across[..., 1::2, :])
    down = 0.5 * (along[..., ::2] + along[..., 1::2])
    pins = _block_sums(pins)
    return right, down, pins * (1.0 / (1.0 + softening * pins[:, :1]))


def _even(field: Tensor) -> Tensor:
    """Pad a field (..., H, W) with 0 to an even height and width."""
    margin = [0, field.shape[-1] % 2, 0, field.shape[-2] % 2]
    return F.pad(field, margin) if sum(margin) > 0 else field


def _block_sums(field: Tensor) -> Tensor:
    """Sum of 2 x 2 pixels of a field (..., H, W) of even height and width; average pooling is three times slower."""
    top, bottom = field[..., ::2, :], field[..., 1::2, :]
    return (top[..., ::2] + top[..., 1::2]).add_(bottom[..., ::2]).add_(bottom[..., 1::2])


def _grid(right: Tensor, down: Tensor, pinned: Tensor) -> Grid:
    height, width = int(pinned.shape[-2]), int(pinned.shape[-1])
    right, down = right.flatten(1), down.flatten(1)
    right, down = right[:, : right.shape[1] - 1], down[:, : down.shape[1] - width]
    diagonal = pinned.flatten(1) + F.pad(right, [0, 1]) + F.pad(right, [1, 0])
    diagonal = diagonal + F.pad(down, [0, width]) + F.pad(down, [width, 0])
    unknown = (diagonal > 0).to(diagonal.dtype)
    inverse = unknown / diagonal.clamp(min=1e-20)
    return Grid(right, down, diagonal, inverse, unknown, height, width)


def _residual(grid: Grid, solution: Tensor, source: Tensor) -> Tensor:
    """``source - A solution``."""
    residual = torch.addcmul(source, grid.diagonal, solution, value=-1.0)
    for conductance, step in ((grid.right, 1), (grid.down, grid.width)):
        left = conductance.shape[1]
        if exporting():
            residual = residual + F.pad(conductance * solution[:, step:], [0, step])
            residual = residual + F.pad(conductance * solution[:, :left], [step, 0])
        else:
            residual[:, :left].addcmul_(conductance, solution[:, step:])
            residual[:, step:].addcmul_(conductance, solution[:, :left])
    return residual


def _smooth(grid: Grid, solution: Tensor, source: Tensor, damping: float = DAMPING) -> Tensor:
    """One damped Jacobi sweep."""
    return torch.addcmul(solution, _residual(grid, solution, source), grid.inverse, value=damping)


def _restrict(grid: Grid, residual: Tensor) -> Tensor:
    """Sum of 2 x 2 pixels."""
    return _block_sums(_even(residual.reshape(-1, 1, grid.height, grid.width))).flatten(1)


def _interpolate(coarse: Grid, fine: Grid, field: Tensor) -> Tensor:
    """Bilinear interpolation to the finer level."""
    size = [2 * coarse.height, 2 * coarse.width]
    image = field.reshape(-1, 1, coarse.height, coarse.width)
    finer = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
    return finer[..., : fine.height, : fine.width].flatten(1)


def _prolong(coarse: Grid, fine: Grid, correction: Tensor) -> Tensor:
    """Interpolate a correction, which is 0 at the known pixels."""
    return _interpolate(coarse, fine, correction) * fine.unknown


def _continue(coarse: Grid, fine: Grid, solution: Tensor) -> Tensor:
    """Interpolate a solution, which exists only at the unknown pixels."""
    weight = _interpolate(coarse, fine, coarse.unknown)
    return _prolong(coarse, fine, solution) / weight.clamp(min=0.01)


def _inverse(grid: Grid) -> Tensor:
    """Inverse of ``A`` on the coarsest level, (B, N, N); finite even where no pixel is known."""
    diagonal = 1.000001 * grid.diagonal + (1.0 - grid.unknown)
    matrix = _off_diagonal(diagonal, 0)
    for conductance, offset in ((grid.right, 1), (grid.down, grid.width)):
        if conductance.shape[1] > 0:
            upper = _off_diagonal(conductance, offset)
            matrix = matrix - (upper + upper.transpose(1, 2))
    if exporting():
        return _iterated_inverse(matrix, diagonal)
    return torch.linalg.inv_ex(matrix)[0]


def _off_diagonal(values: Tensor, offset: int) -> Tensor:
    """Square matrices with ``values`` (B, N - offset) right of their diagonals by ``offset``, (B, N, N)."""
    if exporting():
        size = values.shape[1] + offset
        ones = F.pad(torch.eye(size, dtype=values.dtype, device=values.device), [offset, 0])[:, :size]
        return F.pad(values, [0, offset])[:, :, None] * ones
    return torch.diag_embed(values, offset)


def _iterated_inverse(matrix: Tensor, diagonal: Tensor, steps: int = 16) -> Tensor:
    """Inverse of symmetric, diagonally dominant matrices (B, N, N) by Newton-Schulz iteration, without divisions.

    Scaled to a unit diagonal, their eigenvalues v lie in (0, 2]; the error of each is ``(1 - v / 2)^(2^steps)``.
    """
    scale = diagonal.rsqrt()
    scaled = scale[:, :, None] * matrix * scale[:, None]
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    inverse = 0.5 * identity.expand_as(matrix)
    for _ in range(steps):
        inverse = torch.matmul(inverse, 2.0 * identity - torch.matmul(scaled, inverse))
    return scale[:, :, None] * inverse * scale[:, None]


def _apply(matrix: Tensor, source: Tensor) -> Tensor:
    """Matrix times vector, in full precision even under automatic mixed precision."""
    return (matrix * source[:, None]).sum(dim=-1)


def _cascade(grids: list[Grid], sources: list[Tensor], coarsest: Tensor) -> Tensor:
    """Initial solution: that of the coarsest level, interpolated and smoothed level by level."""
    solution = _apply(coarsest, sources[-1])
    for level in range(len(grids) - 2, -1, -1):
        solution = _continue(grids[level + 1], grids[level], solution)
        for _ in range(2):
            solution = _smooth(grids[level], solution, sources[level])
    return solution


def _v_cycle(grids: list[Grid], coarsest: Tensor, residual: Tensor, damping: float = DAMPING) -> Tensor:
    """Approximate solution of ``A correction = residual``, with one sweep down and one sweep up."""
    residuals = [residual]
    corrections = [residual]
    for level in range(len(grids) - 1):
        grid = grids[level]
        corrections.append(damping * grid.inverse * residuals[-1])
        residuals.append(_restrict(grid, _residual(grid, corrections[-1], residuals[-1])))
    correction = _apply(coarsest, residuals[-1])
    for level in range(len(grids) - 2, -1, -1):
        grid = grids[level]
        correction = corrections[level + 1] + _prolong(grids[level + 1], grid, correction)
        correction = _smooth(grid, correction, residuals[level])
    return correction


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=1, keepdim=True)


def _conjugate_gradients(grids: list[Grid], coarsest: Tensor, solution: Tensor, source: Tensor, cycles: int) -> Tensor:
    """Flexible conjugate gradients, because the V-cycle is not symmetric."""
    zeros = torch.zeros_like(solution)
    residual = _residual(grids[0], solution, source)
    direction = _v_cycle(grids, coarsest, residual)
    energy = _dot(direction, residual)
    for cycle in range(cycles):
        response = _residual(grids[0], direction, zeros)
        step = energy / (-_dot(direction, response)).clamp(min=1e-20)
        solution = torch.addcmul(solution, step, direction)
        if cycle + 1 < cycles:
            change = step * response
            residual = residual + change
            correction = _v_cycle(grids, coarsest, residual)
            renewed = _dot(correction, residual)
            direction = torch.addcmul(correction, _dot(correction, change) / energy.clamp(min=1e-20), direction)
            energy = renewed
    return solution
