"""Multigrid solver of the Laplace equation for one image, in loops that numba compiles.

Levels, cycles and constants are those of :mod:`bundle.physics.laplace`, which has the equations. Here a level is a
table of fields with a margin of one pixel of zeros, stored row by row, so that neighbours are shifts by 1 and by the
width. ``A u`` is computed from differences between neighbours, which float32 represents exactly: the solution is that
of float64 to 1e-7, where the sums of torch lose up to 6e-6.
"""

from __future__ import annotations

import numpy as np
from bundle.base import Floats, cached_loop, loop, sum_loop
from bundle.physics import laplace
from numpy.typing import NDArray

DAMPING, SOFTENING = np.float32(laplace.DAMPING), np.float32(laplace.SOFTENING)
NEAR, FAR = np.float32(0.75), np.float32(0.25)
"""Weights of bilinear interpolation to twice the resolution."""

FIELDS = 12
RIGHT, DOWN, PINS, INVERSE, UNKNOWN, SOURCE, SOLUTION, RESIDUAL, CORRECTION, SPARE, DIRECTION, RESPONSE = range(FIELDS)
"""Fields of a level: its equation (:class:`bundle.physics.laplace.Grid`), the vectors of the V-cycle, and those of the
conjugate gradients, used on the finest level only."""

BAND = 2 + laplace.COARSEST
"""Columns of the factorized matrix of the coarsest level: diagonal, lower diagonals, a vector."""

ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


def shapes_of(height: int, width: int) -> NDArray[np.int64]:
    """Start, height and width of each level with its margin, (L, 3); starts are in pixels."""
    shapes = [(0, height, width)]
    while shapes[-1][1] * shapes[-1][2] > laplace.COARSEST:
        start, height, width = shapes[-1]
        shapes.append((start + (height + 2) * (width + 2), (height + 1) // 2, (width + 1) // 2))
    return np.array([(start, height + 2, width + 2) for start, height, width in shapes])


@loop
def _level(fields, shapes, number):
    """Fields of a level, (FIELDS, H + 2, W + 2)."""
    start, height, width = shapes[number]
    return fields[FIELDS * start : FIELDS * (start + height * width)].reshape(FIELDS, height, width)


@loop
def _levels(fields, shapes, row, values, known):
    """The equations of all levels."""
    finest = _level(fields, shapes, 0)
    height, width = known.shape
    for y in range(height):
        unknown, seen, seen_values = finest[UNKNOWN, y + 1, 1:], finest[SPARE, y + 1, 1:], finest[RESPONSE, y + 1, 1:]
        for x in range(width):
            unknown[x], seen[x], seen_values[x] = ONE - known[y, x], known[y, x], known[y, x] * values[y, x]
    _conductances(finest)
    _neighbours(finest, finest[SPARE], finest[PINS])
    _neighbours(finest, finest[RESPONSE], finest[SOURCE])
    _invert(finest)
    for number in range(1, len(shapes)):
        level = _level(fields, shapes, number)
        _coarsen(_level(fields, shapes, number - 1), level, row)
        _invert(level)


@loop
def _conductances(level):
    """Conductances between neighbours that are both unknown."""
    width = level.shape[2]
    unknown, right, down = level[UNKNOWN].reshape(-1), level[RIGHT].reshape(-1), level[DOWN].reshape(-1)
    east, south = unknown[1:], unknown[width:]
    for i in range(len(south)):
        right[i], down[i] = unknown[i] * east[i], unknown[i] * south[i]


@loop
def _neighbours(level, field, sums):
    """Sum of the four neighbours at the unknown pixels."""
    width = level.shape[2]
    field, total, unknown = field.reshape(-1), sums.reshape(-1)[width:], level[UNKNOWN].reshape(-1)[width:]
    east, west, south, north = field[width + 1 :], field[width - 1 :], field[2 * width :], field
    for i in range(len(south)):
        total[i] = unknown[i] * (east[i] + west[i] + south[i] + north[i])


@loop
def _invert(level):
    """Inverse of the diagonal, and the map of the unknown pixels."""
    width = level.shape[2]
    pins, inverse, unknown = level[PINS].reshape(-1), level[INVERSE].reshape(-1), level[UNKNOWN].reshape(-1)
    pins, inverse, unknown = pins[width:], inverse[width:], unknown[width:]
    right, down = level[RIGHT].reshape(-1), level[DOWN].reshape(-1)
    right, left, down, up = right[width:], right[width - 1 :], down[width:], down
    for i in range(len(pins) - width):
        diagonal = pins[i] + right[i] + left[i] + down[i] + up[i]
        unknown[i] = ONE if diagonal > ZERO else ZERO
        inverse[i] = ONE / diagonal if diagonal > ZERO else ZERO


@loop
def _coarsen(fine, coarse, row):
    """Conductances, pins and source of the next coarser level."""
    _block_sums(fine[PINS], coarse[PINS], row)
    _block_sums(fine[SOURCE], coarse[SOURCE], row)
    height, width = coarse.shape[1] - 2, coarse.shape[2] - 2
    for y in range(height):
        across, across_below, along = fine[RIGHT, 2 * y + 1, 2:], fine[RIGHT, 2 * y + 2, 2:], fine[DOWN, 2 * y + 2, 1:]
        right, down = coarse[RIGHT, y + 1, 1:], coarse[DOWN, y + 1, 1:]
        for x in range(width):
            right[x] = HALF * (across[2 * x] + across_below[2 * x])
            down[x] = HALF * (along[2 * x] + along[2 * x + 1])
        pins, source = coarse[PINS, y + 1, 1:], coarse[SOURCE, y + 1, 1:]
        for x in range(width):
            softer = ONE / (ONE + SOFTENING * pins[x])
            pins[x], source[x] = softer * pins[x], softer * source[x]


@loop
def _block_sums(fine, coarse, row):
    """Sum of 2 x 2 pixels."""
    for y in range(coarse.shape[0] - 2):
        top, bottom, sums = fine[2 * y + 1, 1:], fine[2 * y + 2, 1:], coarse[y + 1, 1:]
        for x in range(len(top)):
            row[x] = top[x] + bottom[x]
        for x in range(coarse.shape[1] - 2):
            sums[x] = row[2 * x] + row[2 * x + 1]


@loop
def _interpolate(coarse, fine, row):
    """Bilinear interpolation to the finer level."""
    height, width, last = fine.shape[0] - 2, fine.shape[1] - 2, coarse.shape[1] - 2
    here, east = row[1:], row[2:]
    for y in range(height):
        beside = min(max(y // 2 + 2 * (y % 2) - 1, 0), coarse.shape[0] - 3)
        near, far, made = coarse[y // 2 + 1, 1:], coarse[beside + 1, 1:], fine[y + 1, 1:]
        for x in range(last):
            here[x] = NEAR * near[x] + FAR * far[x]
        row[0], row[last + 1] = row[1], row[last]
        for x in range(width // 2):
            made[2 * x] = NEAR * here[x] + FAR * row[x]
            made[2 * x + 1] = NEAR * here[x] + FAR * east[x]
        if width % 2 == 1:
            made[width - 1] = NEAR * here[last - 1] + FAR * row[last - 1]


@loop
def _residual(level, solution, source, result):
    """``source - A solution``."""
    width = level.shape[2]
    field = solution.reshape(-1)
    here, east, west, south, north = field[width:], field[width + 1 :], field[width - 1 :], field[2 * width :], field
    right, down = level[RIGHT].reshape(-1), level[DOWN].reshape(-1)
    right, left, down, up = right[width:], right[width - 1 :], down[width:], down
    pins, given, left_over = level[PINS].reshape(-1)[width:], source.reshape(-1)[width:], result.reshape(-1)[width:]
    for i in range(len(south)):
        across = right[i] * (east[i] - here[i]) + left[i] * (west[i] - here[i])
        along = down[i] * (south[i] - here[i]) + up[i] * (north[i] - here[i])
        left_over[i] = given[i] - pins[i] * here[i] + across + along


@loop
def _smooth(level, solution, source, result):
    """One damped Jacobi sweep."""
    _residual(level, solution, source, result)
    inverse, before, after = level[INVERSE].reshape(-1), solution.reshape(-1), result.reshape(-1)
    for i in range(len(after)):
        after[i] = before[i] + DAMPING * inverse[i] * after[i]


@loop
def _factorize(level, matrix):
    """Factors ``L D L'`` of the matrix ``A`` of the coarsest level, diagonal by diagonal, in float64."""
    width = level.shape[2] - 2
    size = (level.shape[1] - 2) * width
    matrix.fill(0.0)
    for i in range(size):
        y, x = i // width + 1, i % width + 1
        matrix[i, 0] = 1.000001 / level[INVERSE, y, x] if level[UNKNOWN, y, x] > ZERO else 1.0
        matrix[i, 1] -= level[RIGHT, y, x - 1]
        matrix[i, width] -= level[DOWN, y - 1, x]
        for j in range(max(0, i - width), i):
            product = matrix[i, i - j]
            for k in range(max(0, i - width), j):
                product -= matrix[i, i - k] * matrix[j, j - k] * matrix[k, 0]
            matrix[i, i - j] = product / matrix[j, 0]
            matrix[i, 0] -= matrix[i, i - j] * product


@loop
def _solve_coarsest(level, matrix, source, solution):
    """Solution on the coarsest level by its factors."""
    width = level.shape[2] - 2
    size, vector = (level.shape[1] - 2) * width, matrix[:, BAND - 1]
    for i in range(size):
        vector[i] = source[i // width + 1, i % width + 1]
        for k in range(1, min(width, i) + 1):
            vector[i] -= matrix[i, k] * vector[i - k]
    for i in range(size - 1, -1, -1):
        vector[i] /= matrix[i, 0]
        for k in range(1, min(width, size - 1 - i) + 1):
            vector[i] -= matrix[i + k, k] * vector[i + k]
        solution[i // width + 1, i % width + 1] = vector[i]


@loop
def _cascade(fields, shapes, matrix, row):
    """Initial solution: that of the coarsest level, interpolated and smoothed level by level."""
    below = _level(fields, shapes, len(shapes) - 1)
    _solve_coarsest(below, matrix, below[SOURCE], below[SOLUTION])
    for number in range(len(shapes) - 2, -1, -1):
        level = _level(fields, shapes, number)
        _interpolate(below[SOLUTION], level[SOLUTION], row)
        _interpolate(below[UNKNOWN], level[SPARE], row)
        solution, weight, unknown = level[SOLUTION].reshape(-1), level[SPARE].reshape(-1), level[UNKNOWN].reshape(-1)
        for i in range(len(solution)):
            solution[i] = unknown[i] * solution[i] / max(weight[i], np.float32(0.01))
        _smooth(level, level[SOLUTION], level[SOURCE], level[SPARE])
        _smooth(level, level[SPARE], level[SOURCE], level[SOLUTION])
        below = level


@loop
def _v_cycle(fields, shapes, matrix, row):
    """Approximate solution of ``A correction = residual``, with one sweep down and one sweep up."""
    level = _level(fields, shapes, 0)
    for number in range(1, len(shapes)):
        below = _level(fields, shapes, number)
        correction, inverse, residual = (
            level[CORRECTION].reshape(-1),
            level[INVERSE].reshape(-1),
            level[RESIDUAL].reshape(-1),
        )
        for i in range(len(residual)):
            correction[i] = DAMPING * inverse[i] * residual[i]
        _residual(level, level[CORRECTION], level[RESIDUAL], level[SPARE])
        _block_sums(level[SPARE], below[RESIDUAL], row)
        level = below
    _solve_coarsest(level, matrix, level[RESIDUAL], level[CORRECTION])
    for number in range(len(shapes) - 2, -1, -1):
        below, level = level, _level(fields, shapes, number)
        _interpolate(below[CORRECTION], level[SPARE], row)
        correction, unknown, finer = level[CORRECTION].reshape(-1), level[UNKNOWN].reshape(-1), level[SPARE].reshape(-1)
        for i in range(len(finer)):
            finer[i] = correction[i] + unknown[i] * finer[i]
        _smooth(level, level[SPARE], level[RESIDUAL], level[CORRECTION])


@sum_loop
def _dot(a, b):
    total = 0.0
    for start in range(0, len(a), 1024):
        one, other, part = a[start : start + 1024], b[start : start + 1024], ZERO
        for i in range(len(one)):
            part += one[i] * other[i]
        total += float(part)
    return total


@loop
def _conjugate_gradients(fields, shapes, matrix, row, cycles):
    """Flexible conjugate gradients, because the V-cycle is not symmetric; the last energy."""
    level = _level(fields, shapes, 0)
    solution, residual, correction = (
        level[SOLUTION].reshape(-1),
        level[RESIDUAL].reshape(-1),
        level[CORRECTION].reshape(-1),
    )
    direction, response = level[DIRECTION].reshape(-1), level[RESPONSE].reshape(-1)
    _residual(level, level[SOLUTION], level[SOURCE], level[RESIDUAL])
    for field in (level[SOURCE].reshape(-1), direction, response):
        field.fill(ZERO)
    energy = 1.0
    for _ in range(cycles):
        _v_cycle(fields, shapes, matrix, row)
        turn = np.float32(_dot(correction, response) / max(energy, 1e-20))
        for i in range(len(direction)):
            direction[i] = correction[i] + turn * direction[i]
        energy = _dot(correction, residual)
        _residual(level, level[DIRECTION], level[SOURCE], level[RESPONSE])
        step = np.float32(energy / max(-_dot(direction, response), 1e-20))
        for i in range(len(direction)):
            solution[i] += step * direction[i]
            response[i] = step * response[i]
            residual[i] += response[i]
    return energy


@cached_loop("void(f4[::1], i8[:, ::1], f8[:, ::1], f4[::1], f4[:, ::1], f4[:, ::1], i8, f4[:, ::1])")
def _solve(fields, shapes, matrix, row, values, known, cycles, solution):
    _levels(fields, shapes, row, values, known)
    _factorize(_level(fields, shapes, len(shapes) - 1), matrix)
    _cascade(fields, shapes, matrix, row)
    energy = _conjugate_gradients(fields, shapes, matrix, row, cycles)
    for y in range(solution.shape[0]):
        found, made = _level(fields, shapes, 0)[SOLUTION, y + 1, 1:], solution[y]
        for x in range(len(made)):
            made[x] = found[x]
    if not np.isfinite(energy):
        fields.fill(ZERO)  # otherwise the margins would keep what is not finite


class Workspace:
    """Memory of the solver for images of one size; it serves one call at a time.

    Args:
        height: height in pixels.
        width: width in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self.shapes = shapes_of(height, width)
        start, tall, wide = self.shapes[-1]
        self.fields = np.zeros(FIELDS * int(start + tall * wide), np.float32)
        self.matrix = np.zeros((laplace.COARSEST, BAND))
        self.row = np.zeros(width + 4, np.float32)
        self.solution = np.zeros((height, width), np.float32)

    def solve(self, values: Floats, known: Floats, cycles: int = laplace.CYCLES) -> Floats:
        """Run :func:`bundle.physics.laplace.solve_laplace`, (H, W) each; the next call overwrites the solution."""
        _solve(self.fields, self.shapes, self.matrix, self.row, values, known, cycles, self.solution)
        return self.solution
