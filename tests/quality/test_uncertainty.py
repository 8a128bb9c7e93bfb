from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.joint import MCP
from bundle.networks.backbones import make_backbone
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.physics.radiograph import partition, reconstruct
from bundle.quality.uncertainty import (
    SIGNS,
    Calibration,
    FlipInferer,
    _filled,
    bone_disagreement,
    combine,
    held_out_figures,
    overlap_signs,
)
from bundle.separation.generator import Generator
from bundle.separation.heads import PartitionHead
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

SIZE = 48
FloatArray = NDArray[np.float64]


def joint(seed: int = 0) -> Tensor:
    phantom = render(sample_parameters(seed, size=SIZE, spacing=21 / SIZE, outline_gap_mm=-0.6))
    return torch.cat([phantom.image, phantom.masks])[None]


def one_sided(image: Tensor) -> Tensor:
    """A separator that gives each pixel's attenuation to the layers by its column: exact, but not for both sides."""
    share = torch.linspace(0.0, 1.0, image.shape[-1]).expand(len(image), 1, image.shape[-2], -1)
    return partition(image[:, :1], torch.cat([0.2 * torch.ones_like(share), 0.8 * share, 0.8 - 0.8 * share], dim=1))


def test_the_mean_of_exact_answers_is_exact_and_that_of_intensities_is_not() -> None:
    image = joint()
    answers = torch.stack([one_sided(image), one_sided(image.flip(-1)).flip(-1)], dim=1)
    mean, _ = combine(answers)
    assert torch.allclose(reconstruct(mean), image[:, :1], atol=1e-6)
    assert (reconstruct(answers.mean(dim=1)) - image[:, :1]).abs().max() > 0.01


def test_an_answer_that_knows_no_side_is_not_changed_and_has_no_disagreement() -> None:
    """Shares of a half each are the same in the mirror."""
    image = joint()
    inferer = FlipInferer()
    shares = torch.tensor([0.5, 0.25, 0.25]).reshape(1, 3, 1, 1).expand(1, 3, SIZE, SIZE)
    answer = inferer.answer(image, lambda given: partition(given[:, :1], shares))
    assert torch.allclose(answer.layers, partition(image[:, :1], shares), atol=1e-6)
    assert answer.deviation is not None
    assert float(answer.deviation.abs().max()) == 0.0


def test_the_mirrored_joint_gets_the_mirrored_answer() -> None:
    image = joint(1)
    layers = FlipInferer()(image, one_sided)
    assert torch.allclose(FlipInferer()(image.flip(-1), one_sided), layers.flip(-1), atol=1e-6)


@pytest.fixture(scope="module")
def generator() -> Generator:
    """Of the shipped kind, narrower, with weights that are not zero."""
    torch.manual_seed(0)
    head = PartitionHead(mixture=1.0, reach_mm=8 * MCP.spacing_mm)
    options = {"features": [8, 8, 16, 16, 32, 8], "width": 4}
    found = Generator(make_backbone("SubpixelUNet", head.in_channels, head.out_channels, options), head).eval()
    torch.nn.init.normal_(found.start.weight)  # type: ignore[arg-type]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
@torch.no_grad()
def test_layers_of_a_joint_are_the_same_bits_whatever_else_is_in_the_batch(generator: Generator, threads: int) -> None:
    images, inferer = torch.cat([joint(seed) for seed in range(4)]), FlipInferer()
    alone = torch.cat([inferer(image[None], generator) for image in images])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    for rows in ([1, 0], [2, 0, 1], [3, 1, 0, 2], [2]):
        assert torch.equal(inferer(images[rows], generator), alone[rows])
    torch.set_num_threads(before)


def of_batch(images: Tensor) -> Tensor:
    """Answers that depend on how many images there are."""
    return images + len(images)


def test_a_network_sees_batches_of_one_size_on_any_device() -> None:
    images, seen = torch.rand(7, 3, 2, 2), list[int]()
    assert torch.equal(FlipInferer(False)(images, of_batch), images + 1)
    for count in range(1, 5):
        assert torch.equal(_filled(of_batch, images[:count], 4), images[:count] + 4)
    elsewhere = images.to("meta")
    assert FlipInferer(batch_size=4)._answers(lambda part: seen.append(len(part)) or part, [elsewhere]).shape[0] == 7
    assert seen == [4, 4]


@pytest.mark.parametrize("flips", [False, "false"])
def test_without_flips_there_is_one_answer_and_no_deviation(flips: bool | str) -> None:
    image, inferer = joint(), FlipInferer(flips)
    answer = inferer.answer(image, lambda given: separate(given[:, :1], given[:, 1:]))
    assert torch.equal(answer.layers, separate(image[:, :1], image[:, 1:]))
    assert answer.deviation is None


def test_mixed_precision_reaches_the_network_and_leaves_the_composition_exact() -> None:
    image, layer, seen = joint(), torch.nn.Conv2d(3, 3, 3, padding=1), []
    head = PartitionHead()

    def network(given: torch.Tensor) -> torch.Tensor:
        logits = layer(given)
        seen.append(logits.dtype)
        return head(logits, head.prepare(given))

    with torch.no_grad():
        answers = [FlipInferer(flips, amp="true")(image, network) for flips in (True, False)]
    assert set(seen) == {torch.bfloat16}
    for answer in answers:
        assert answer.dtype == torch.float32
        assert torch.allclose(reconstruct(answer), image[:, :1], atol=1e-6)


def test_an_inferer_gives_the_layers_of_its_answer_and_keeps_nothing() -> None:
    image = joint()
    for inferer in (FlipInferer(), FlipInferer(False)):
        before = dict(vars(inferer))
        assert torch.equal(inferer(image, one_sided), inferer.answer(image, one_sided).layers)
        assert vars(inferer) == before


def test_disagreement_is_that_of_the_bones_in_the_region_alone() -> None:
    deviation = torch.zeros(2, 3, 4, 4)
    deviation[:, 0] = 9.0
    deviation[:, 1, :2], deviation[:, 2, :2] = 0.3, 0.4
    region = torch.zeros(2, 1, 4, 4)
    region[0, :, :2] = 1.0
    found = bone_disagreement(deviation, region)
    assert float(found[0]) == pytest.approx(np.sqrt((0.09 + 0.16) / 2.0))
    assert bool(found[1].isnan())
    assert float(bone_disagreement(deviation, torch.ones(2, 1, 4, 4))[0]) == pytest.approx(0.25)


def test_signs_are_those_of_the_overlap_alone() -> None:
    """Joint 0: both bones on 2 x 4 pixels of 0.5 mm. Joint 1: none."""
    masks = torch.zeros(2, 2, 4, 4)
    masks[0, 0, :3], masks[:, 1, 1:] = 1.0, 1.0
    layers, deviation = torch.full((2, 3, 4, 4), 0.9), torch.full((2, 3, 4, 4), 7.0)
    layers[0, 1, 1:3], layers[0, 2, 1:3] = 0.2, 0.6
    deviation[0, 1:, 1:3] = 0.05
    found = overlap_signs(layers, deviation, masks, torch.tensor([0.5, 0.1]))
    assert tuple(found) == SIGNS
    assert [float(found[name][0]) for name in SIGNS] == pytest.approx([0.05, 0.4, 2.0])
    assert [float(found[name][1]) for name in SIGNS] == pytest.approx([np.nan, np.nan, 0.0], nan_ok=True)
    assert torch.equal(overlap_signs(layers, deviation, masks, 0.5)[SIGNS[2]], torch.tensor([2.0, 0.0]))


def joints_with_signs(
    coefficients: tuple[float, float, float], seed: int = 0, joints: int = 400, closures: int = 5, own: float = 0.0
) -> tuple[dict[str, FloatArray], FloatArray, FloatArray]:
    """Signs, errors by a power law with a spread of 0.2 and a deviation that a joint's pushes share, and joints."""
    random = np.random.RandomState(seed)
    names = np.repeat(np.arange(joints), closures)
    signs = {name: np.exp(random.uniform(-5.0, 1.0, size=len(names))) for name in SIGNS}
    error = 0.4 * np.exp(random.normal(0.0, 0.2, size=len(names)) + own * random.normal(size=joints)[names])
    for name, coefficient in zip(SIGNS, coefficients, strict=True):
        error *= signs[name] ** coefficient
    return signs, error, names


@pytest.mark.slow
def test_a_power_law_of_several_signs_is_found_and_its_spread_too() -> None:
    signs, error, names = joints_with_signs((0.5, 1.0, 0.2))
    found = Calibration.fit(signs, error, names, "any", {})
    assert [found.coefficients[name] for name in SIGNS] == pytest.approx([0.5, 1.0, 0.2], abs=0.01)
    assert found.expected(dict(zip(SIGNS, (0.01, 0.5, 1.0), strict=True))) == pytest.approx(0.4 * 0.1 * 0.5, rel=0.03)
    assert found.excess == pytest.approx(np.exp(0.2 * 1.2816), rel=0.03)
    assert np.mean(error <= found.upper(signs)) == pytest.approx(0.9, abs=0.01)


def test_samples_without_an_overlap_or_an_error_are_left_out() -> None:
    signs, error, names = joints_with_signs((0.5, 1.0, 0.2), joints=20)
    more = {name: np.append(values, [np.nan, 0.0, 0.1]) for name, values in signs.items()}
    found = Calibration.fit(more, [*error, 9.0, 9.0, np.nan], [*names, 99, 99, 99], "any", {})
    assert found == Calibration.fit(signs, error, names, "any", {})
    assert np.isnan(found.expected({**{name: 0.5 for name in SIGNS}, SIGNS[1]: np.nan}))
    assert np.isnan(found.upper({**{name: 0.5 for name in SIGNS}, SIGNS[1]: 0.0}))


def test_more_of_a_sign_never_means_less_error() -> None:
    signs, error, names = joints_with_signs((0.5, -0.7, 0.2), joints=50)
    found = Calibration.fit(signs, error, names, "any", {})
    assert found.coefficients[SIGNS[1]] == 0.0
    assert found.coefficients[SIGNS[0]] == pytest.approx(0.5, abs=0.2)
    same = Calibration.fit({SIGNS[0]: np.full(len(error), 0.1)}, error, names, "any", {})
    assert same.coefficients == {SIGNS[0]: 0.0}
    assert same.expected({SIGNS[0]: 0.7}) == pytest.approx(np.exp(np.log(error).mean()))


@pytest.mark.long
def test_the_bound_holds_for_joints_never_seen() -> None:
    """40 joints, whose pushes are alike: in the mean over calibrations it covers a little over 90 % of other joints."""
    signs, error, _ = joints_with_signs((0.5, 0.0, 0.2), seed=99, joints=4000, own=0.5)
    covered, reserved = [], []
    for seed in range(16):
        seen = joints_with_signs((0.5, 0.0, 0.2), seed=seed, joints=40, own=0.5)
        covered.append(np.mean(error <= Calibration.fit(*seen, "any", {}).upper(signs)))
        reserved.append(held_out_figures(*seen)["coverage"])
    assert 0.9 < np.mean(covered) < 0.94
    assert np.mean(reserved) == pytest.approx(np.mean(covered), abs=0.025)


def test_every_joint_counts_the_same_in_the_excess() -> None:
    """One joint in ten errs tenfold; pushed often or seldom, it takes the same part."""
    names = np.arange(40)
    signs, error = {SIGNS[0]: np.full(40, 0.1)}, np.where(names % 10 == 0, 1.0, 0.1)
    often = np.concatenate([names, np.repeat(names[names % 10 != 0], 50)])
    found = [
        Calibration.fit({SIGNS[0]: signs[SIGNS[0]][rows]}, error[rows], names[rows], "any", {})
        for rows in (names, often)
    ]
    assert [float(one.upper({SIGNS[0]: 0.1})) > 0.9 for one in found] == [True, True]


def test_figures_of_joints_left_out_are_those_of_fits_to_the_others() -> None:
    signs, error, names = joints_with_signs((0.5, 1.0, 0.0), joints=8, closures=3)
    expected, upper = np.empty_like(error), np.empty_like(error)
    for one in range(8):
        out = names == one
        found = Calibration.fit({name: signs[name][~out] for name in SIGNS}, error[~out], names[~out], "any", {})
        expected[out], upper[out] = (
            bound({name: signs[name][out] for name in SIGNS}) for bound in (found.expected, found.upper)
        )
    figures = held_out_figures(signs, error, names)
    assert figures["spearman"] == pytest.approx(spearmanr(expected, error).statistic)
    assert figures["coverage"] == pytest.approx(np.mean(error <= upper))
    assert figures["factor"] == pytest.approx(np.exp(np.abs(np.log(error / expected)).mean()))


def test_a_calibration_needs_joints_with_a_known_error() -> None:
    signs = {SIGNS[0]: [0.1, 0.2, 0.3, 0.4, np.nan]}
    for judge in (lambda *samples: Calibration.fit(*samples, "any", {}), held_out_figures):
        with pytest.raises(InputError, match=r"needs 4 joints, closed until they overlap, .* the list has 3"):
            judge(signs, [0.1, 0.2, 0.3, 0.3, 0.3], ["a", "b", "c", "c", "d"])


def test_a_calibration_is_read_as_written_and_a_broken_one_is_named(tmp_path: Path) -> None:
    made = Calibration({SIGNS[0]: 0.7, SIGNS[2]: 0.1}, -1.0, 1.4, "model.pt (sha256 0)", {"seed": 3})
    made.write(tmp_path / "uncertainty.json")
    assert Calibration.read(tmp_path / "uncertainty.json") == made
    content = json.loads((tmp_path / "uncertainty.json").read_text())
    unknown = [{**content, "coefficients": coefficients} for coefficients in ({"luck": 1.0}, {}, [], None, 1.0)]
    unknown += [{**content, name: value} for name in ("intercept", "excess") for value in (math.nan, "a", None, [])]
    unknown += [{**content, "excess": 0.0}, {**content, "coefficients": {SIGNS[0]: math.nan}}, {**content, "made": 5}]
    for broken in ({**content, "more": 1}, [], {"intercept": 1.0}, *unknown):
        (tmp_path / "broken.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match=r"broken\.json: not a calibration"):
            Calibration.read(tmp_path / "broken.json")
    with pytest.raises(InputError, match="not a calibration"):
        Calibration.read(tmp_path / "absent.json")
