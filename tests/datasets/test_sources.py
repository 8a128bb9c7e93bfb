"""Separated joints are the same after they were kept."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from bundle.datasets.sources import KeptSources, Source, SourceStore
from bundle.errors import InputError
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.physics.motion import RigidMotion
from bundle.physics.synthesis import SeparatedBones

SIZE = 64
SPACING = 21 / SIZE


def source(name: str = "a") -> Source:
    return Source(name, "j", "ring", "left", SPACING, 0.5, [[0.0, 1.0], [0.0, -1.0]], "given", "d", "none", False, 0.01)


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
