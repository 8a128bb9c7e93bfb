"""Separated joints are the same after they were kept."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from bundle.datasets.sources import KeptSources, Source, SourceStore, stated_joint_space, surfaces_of
from bundle.errors import InputError
from bundle.measurement.joint_space import measure_joint_space, widths
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.physics.motion import RigidMotion
from bundle.physics.synthesis import SeparatedBones
from tests.datasets.phantoms import source as kept

SIZE = 64
SPACING = 21 / SIZE


def source(name: str = "a") -> Source:
    return kept(name, joint="j", spacing_mm=SPACING, digest="d", expected_overlap_rmse=0.01)


def joint(seed: int) -> tuple[torch.Tensor, torch.Tensor, SeparatedBones]:
    phantom = render(sample_parameters(seed, size=SIZE, spacing=SPACING))
    image, masks = phantom.image[None], (phantom.masks[None] > 0.5).float()
    return image, masks, SeparatedBones.of(separate(image, masks), masks)


def test_radiographs_made_from_kept_joints_are_those_made_from_the_joints(tmp_path: Path) -> None:
    store, joints = SourceStore(tmp_path), {name: joint(seed) for seed, name in enumerate("ab")}
    for name, (image, _, bones) in joints.items():
        store.write(source(name), bones, image[0])
    motion, seeds = RigidMotion.widening(torch.tensor([0.7, -0.4])), [1, 2]
    kept = SourceStore(tmp_path).load(["a", "b"]).synthesize(motion, SPACING, seeds, exact=False)
    for row, (_, _, bones) in enumerate(joints.values()):
        made = bones.synthesize(motion.of(row), SPACING, [seeds[row]], exact=False)
        torch.testing.assert_close(kept.image[row], made.image[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(kept.masks[row], made.masks[0], atol=1e-6, rtol=0)
    assert torch.equal(store.image("a"), joints["a"][0][0])
    assert torch.equal(store.load(["b"]).masks, joints["b"][1])


def test_what_is_known_of_a_joint_is_kept_with_it(tmp_path: Path) -> None:
    store, (image, _, bones) = SourceStore(tmp_path), joint(0)
    store.write(source(), bones, image[0])
    assert store.find("a") == source()
    assert store.find("b") is None


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["no tensors", "half a line", "another key"])
def test_a_joint_that_was_not_kept_whole_is_not_found(tmp_path: Path, harm: str) -> None:
    store, (image, _, bones) = SourceStore(tmp_path), joint(0)
    store.write(source(), bones, image[0])
    line = tmp_path / "a.json"
    if harm == "no tensors":
        (tmp_path / "a.pt").unlink()
    elif harm == "half a line":
        line.write_text(line.read_text()[:50])
    else:
        line.write_text(json.dumps({"name": "a", "else": 1}))
    assert store.find("a") is None


@pytest.mark.parametrize("old", ["outline gap", "no surfaces"])
def test_a_joint_that_an_older_version_stored_is_refused_by_its_name(tmp_path: Path, old: str) -> None:
    store, (image, _, bones) = SourceStore(tmp_path), joint(0)
    store.write(source(), bones, image[0])
    known = json.loads((tmp_path / "a.json").read_text())
    if old == "outline gap":
        gone = {name: known.pop(name) for name in list(known) if name.startswith("joint_space") or name == "surfaces"}
        assert len(gone) == 4
        known["jsw_mm"] = 0.4
    else:
        del known["surfaces"]
    (tmp_path / "a.json").write_text(json.dumps(known))
    with pytest.raises(
        InputError, match=r"a\.json: stored by an older version.*surfaces missing\)\. Delete .*output_dir"
    ):
        store.find("a")


def test_the_surfaces_of_kept_joints_are_those_measured_to_a_ten_thousandth(tmp_path: Path) -> None:
    stated, found = [], []
    for seed in (0, 1):
        image, masks, _ = joint(seed)
        space = measure_joint_space(separate(image, masks), masks, SPACING)
        found.append(space)
        stated.append(kept(f"j{seed}", **json.loads(json.dumps(stated_joint_space(space)))))
    surfaces = surfaces_of(stated)
    for row, space in enumerate(found):
        for name in ("axis", "middle", "head", "floor"):
            one, other = getattr(surfaces, name)[row], getattr(space.surfaces, name)[0].double()
            torch.testing.assert_close(one, other, atol=6e-5, rtol=0)
        assert torch.equal(surfaces.window[row], space.surfaces.window[0])
        assert stated[row].joint_space_mm == pytest.approx(float(widths(surfaces)[0][row]), abs=1e-4)


def test_a_refused_joint_states_its_reason_and_no_width() -> None:
    nothing = measure_joint_space(torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1, 2, SIZE, SIZE), SPACING)
    stated = stated_joint_space(nothing)
    assert stated == {
        "joint_space_mm": None,
        "joint_space_sd_mm": None,
        "joint_space_refused": nothing.refused[0],
        "surfaces": {},
    }
    assert stated["joint_space_refused"]


def test_damaged_tensors_are_refused_by_the_name_of_their_file(tmp_path: Path) -> None:
    store, (image, _, bones) = SourceStore(tmp_path), joint(0)
    store.write(source(), bones, image[0])
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:-500])
    with pytest.raises(InputError, match=r"a\.pt: the separated joint cannot be read .* Delete the file"):
        store.load(["a"])


def test_a_store_goes_to_another_process_which_reads_for_itself(tmp_path: Path) -> None:
    store = SourceStore(tmp_path)
    sent = pickle.loads(pickle.dumps(KeptSources(store, ["none"])))
    assert sent.store.folder == tmp_path and list(sent) == []
