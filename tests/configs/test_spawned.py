"""What the workers of a DataLoader are sent can be sent to processes that are spawned, as on macOS and Windows."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from tests.configs.conftest import of_job

ROOT = Path(__file__).resolve().parents[2]

LOADERS = {
    ("inference.json",): ["dataloader"],
    ("train.yaml",): ["stage1#dataloader", "train#dataloader", "validate#dataloader"],
    of_job("bls_gan"): ["train#dataloader", "validate#dataloader"],
    of_job("segment_bones"): ["train#dataloader", "validate#dataloader"],
    of_job("read_joint_space"): ["train#dataloader", "validate#dataloader"],
    of_job("register_joints"): ["train#dataloader", "validate#dataloader"],
    of_job("pretrain_scorer"): ["pretrain#dataloader"],
    of_job("pretrain_registration"): ["pretrain#dataloader"],
}


@pytest.mark.slow
@pytest.mark.parametrize("files", LOADERS, ids=lambda files: files[-1])
def test_data_sets_of_configurations_are_sent_to_spawned_workers(files: tuple[str, ...], tmp_path: Path) -> None:
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / name) for name in files])
    parser.update({"bundle_root": str(ROOT), "output_dir": str(tmp_path / "out")})
    parser.update({key: 4 for key in ("phantoms",) if key in parser})
    parser.update({key: 64 for key in ("image_size",) if key in parser})
    for name in LOADERS[files]:
        loader: Any = parser.get_parsed_content(name)
        sent = pickle.loads(pickle.dumps((loader.dataset, loader.collate_fn, loader.worker_init_fn)))
        assert type(sent[0]) is type(loader.dataset)
        if name == "validate#dataloader" or files == ("inference.json",):
            assert torch.equal(sent[0][0]["image"], loader.dataset[0]["image"])
