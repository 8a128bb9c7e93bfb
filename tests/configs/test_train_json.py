"""`configs/train.json` and `evaluate.json`: the names under which MONAI's `load` and `MonaiAlgo` look for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.networks import ReducedResolution
from bundle.workflow.extending import laid_over
from monai.bundle import ConfigParser, create_workflow, load
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, ModelType
from monai.fl.utils.exchange_object import ExchangeObject

TINY: dict[str, Any] = {
    "phantoms": 8,
    "image_size": 64,
    "batch_size": 4,
    "backbone_options": {"features": [8] * 6, "width": 4},
    "adversary_options": {"features": [8] * 6},
}


def differences(one: Any, other: Any, path: str = "") -> set[str]:
    """Where two contents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = one.keys() | other.keys()
        return {name for key in keys for name in differences(one.get(key), other.get(key), f"{path}#{key}".strip("#"))}
    return set() if one == other else {path}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, another one than the bundle's."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
def test_a_network_is_loaded_by_name_with_the_shipped_weights(bundle: Any, elsewhere: Path) -> None:
    network = load(bundle.root.name, bundle_dir=str(bundle.root.parent), device="cpu")
    shipped = torch.load(bundle.root / "models" / "model.pt", weights_only=True)
    assert not isinstance(network, dict)
    assert network.state_dict().keys() == shipped.keys()
    assert all(torch.equal(value, shipped[key]) for key, value in network.state_dict().items())
    assert os.listdir(elsewhere) == []


@pytest.mark.long
def test_options_of_a_loaded_network_can_be_overridden(bundle: Any) -> None:
    options = {"features": [8] * 6, "width": 4}
    config = str(bundle.root / "configs" / "train.json")
    named = create_workflow(config_file=config, logging_file=False, **{"network_def#reduction": 2})
    assert isinstance(named.network_def.backbone, ReducedResolution)
    whole = create_workflow(config_file=config, logging_file=False, backbone_options=options)
    assert sum(value.numel() for value in whole.network_def.parameters()) < 20_000


@pytest.mark.slow
def test_it_is_the_training_of_the_yaml_file_with_what_federated_learning_changes(bundle: Any) -> None:
    workflow = create_workflow(config_file=str(bundle.root / "configs" / "train.json"), logging_file=False, phantoms=4)
    yaml = ConfigParser(config=ConfigParser.load_config_file(bundle.root / "configs" / "train.yaml"))
    yaml.parse()
    own = {"_desc_", "_meta_", "average_momentum", "finalize", "follower", "initialize", "output_dir"}
    assert differences(workflow.parser.get(), yaml.get()) == own | {
        "phantoms",
        "run",
        "stage1_epochs",
        "train#trainer#max_epochs",
        "training",
    }
    assert workflow.check_properties() == []


def test_a_mapping_that_names_a_target_replaces_another_one() -> None:
    below = {"head": {"_target_": "A", "reach": 8}, "network": {"depth": 3}}
    above = {"head": {"_target_": "B"}, "network": {"width": 2}}
    assert laid_over(below, above) == {"head": {"_target_": "B"}, "network": {"depth": 3, "width": 2}}


@pytest.mark.long
def test_federated_rounds_train_and_evaluate_and_write_nothing(bundle: Any, elsewhere: Path) -> None:
    root = str(bundle.root)
    before = sorted(bundle.root.glob("outputs/federated/**"))
    algo = MonaiAlgo(root, send_weight_diff=False, train_kwargs=dict(TINY), eval_kwargs=dict(TINY))
    algo.initialize({ExtraItems.CLIENT_NAME: "clinic"})
    assert algo.get_weights({ExtraItems.MODEL_TYPE: ModelType.BEST_MODEL}).weights
    sent = {name: torch.zeros_like(value) + value.detach() for name, value in algo.get_weights().weights.items()}
    for epoch in (1, 2):  # the weights of a round are those that the server sends, not the last ones of this client
        algo.trainer.optimizer.param_groups[0]["lr"] = 0.0
        algo.train(ExchangeObject(weights=dict(sent)))
        answer = algo.get_weights()
        assert answer.statistics["current_epoch"] == epoch
        trained = [name for name, _ in algo.trainer.network.named_parameters()]
        assert all(torch.equal(answer.weights[name], sent[name]) for name in trained)
    algo.trainer.optimizer.param_groups[0]["lr"] = 0.01
    algo.train(ExchangeObject(weights=dict(sent)))
    assert any(not torch.equal(value, sent[name]) for name, value in algo.get_weights().weights.items())
    metrics = algo.evaluate(ExchangeObject(weights=algo.get_weights().weights)).metrics
    assert 0.0 < metrics["bone_rmse_overlap"] < 1.0
    assert os.listdir(elsewhere) == []
    assert sorted(bundle.root.glob("outputs/federated/**")) == before
