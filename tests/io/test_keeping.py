"""What was loaded is kept bit for bit, in any process that is forked, and within a bound."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle.io.keeping import Kept, KeptArray, KeptJoint


def joint(seed: int, size: int = 16) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.cat([torch.rand(1, size, size, generator=made), torch.rand(2, size, size, generator=made).round()])


def test_joints_come_back_bit_for_bit_in_any_order() -> None:
    kept = Kept()
    handles = [KeptJoint.of(joint(seed, size), kept) for seed, size in ((0, 16), (1, 7), (2, 16))]
    for seed, size in ((2, 16), (0, 16), (1, 7)):
        handle = handles[seed]
        assert handle is not None and handle.shape == (size, size)
        assert torch.equal(handle.tensor(), joint(seed, size))


def test_a_joint_that_is_changed_is_not_changed_where_it_is_kept() -> None:
    handle = KeptJoint.of(joint(0), Kept())
    assert handle is not None
    handle.tensor().zero_()
    assert torch.equal(handle.tensor(), joint(0)) and handle == KeptJoint.of(joint(0), Kept())
    assert handle != KeptJoint.of(joint(1), Kept())


def test_masks_that_are_not_of_0_and_1_are_not_kept() -> None:
    soft = joint(0)
    soft[1, 3, 3] = 0.5
    assert KeptJoint.of(soft, Kept()) is None


def test_what_has_no_room_is_not_kept_and_what_is_kept_stays() -> None:
    kept = Kept(limit=3000)
    first = kept.keep(np.arange(500, dtype=np.float32))
    assert first is not None and kept.keep(np.zeros(400, np.float32)) is None
    assert kept.keep(np.zeros(200, np.float32)) is not None
    assert np.array_equal(first.read(), np.arange(500, dtype=np.float32))


def test_a_full_disk_ends_the_keeping_and_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    kept = Kept()
    first = kept.keep(np.ones(4))
    monkeypatch.setattr(os, "pwrite", full)
    assert kept.keep(np.ones(4)) is None
    assert first is not None and first.read().tolist() == [1.0] * 4


def test_at_most_a_quarter_of_what_is_free_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 4000})())
    kept = Kept()
    assert kept.keep(np.zeros(1001, np.uint8)) is None and kept.keep(np.zeros(1000, np.uint8)) is not None


def test_a_forked_process_reads_it_and_a_pickled_one_is_none(tmp_path: Path) -> None:
    array = Kept().keep(np.arange(5))
    assert isinstance(array, KeptArray)
    if not (child := os.fork()):
        (tmp_path / "read").write_text(str(array.read().tolist()))
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "read").read_text() == "[0, 1, 2, 3, 4]"
    assert pickle.loads(pickle.dumps({"loaded": array})) == {"loaded": None}


def test_no_file_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert Kept().keep(np.ones(4)) is not None
    assert list(tmp_path.iterdir()) == []
