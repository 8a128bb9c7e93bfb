from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.workflow.run_settings import FREE_OF_RESULTS, MAY_CHANGE, RunSettings, results_run, settings_of
from monai.bundle import ConfigParser, ConfigWorkflow

CONFIG: dict[str, Any] = {
    "lr": 0.1,
    "unused": 3,
    "epochs": 4,
    "batch_size": "$@lr * 20",
    "dataset_dir": "/disk/someone/Data",
    "note": "/disk/someone/19690401_scans",
    "pretrained": "",
    "net": {"_target_": "torch.nn.Linear", "in_features": "@width", "out_features": 1},
    "width": 2,
    "state": {"net": "@net"},
    "train": {
        "trainer": {"network": "@net", "lr": "@lr", "batch": "@batch_size", "data": "@dataset_dir", "note": "@note"},
        "handlers": [{"interval": 1}],
    },
}


def settings(**changed: Any) -> dict[str, Any]:
    parser = ConfigParser({**CONFIG, **changed})
    parser.parse()
    return settings_of(parser, ["train#trainer", "state", "pretrained", "absent#part"])


def test_settings_are_those_that_the_parts_refer_to_at_any_depth() -> None:
    found = settings()
    assert {"lr", "width", "net#in_features", "net#out_features", "train#trainer#lr"} <= found.keys()
    assert not found.keys() & {"unused", "epochs", "dataset_dir", "train#handlers#0#interval"}
    assert settings(unused=4, epochs=9, dataset_dir="/elsewhere") == found
    assert settings(lr=0.2) != found and settings(width=3) != found


def test_an_option_that_is_an_expression_counts_by_its_value() -> None:
    assert settings()["batch_size"] == 2.0


def test_settings_tell_no_folders_and_no_dates() -> None:
    assert "someone" not in str(settings()) and "19690401" not in str(settings())


def test_weights_count_by_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"one")
    first = settings(pretrained=str(path))
    path.write_bytes(b"two")
    assert first["pretrained"].startswith("model.pt (sha256 ")
    assert settings(pretrained=str(path)) != first


def run_of(folder: Path, **changed: Any) -> dict[str, Any]:
    """The options in the fingerprint that a run of a configuration gives its results."""
    content: dict[str, Any] = {
        "root": str(folder),
        "weights": "",
        "batch_size": 4,
        "device": "cpu",
        "loader": {"chosen": "@weights", "size": "@batch_size"},
        "segmenter": {"load_path": "$@root + '/masks.pt'", "device": "@device"},
        "plausibility_reference": "$@root + '/masks.pt'",
        "head": {"reach_mm": 0.5},
        "writer": {"parts": ["@head", "@loader", "@segmenter"], "reference": "@plausibility_reference"},
        "run": [{"_target_": "tests.workflow.test_run_settings.keep", "run": "@made"}],
        "made": {"_target_": "bundle.workflow.results_run", "settings": {"seed": 1}, "defined_by": ["writer"]},
        **changed,
    }
    FOUND.clear()
    ConfigWorkflow(config_file=str(_written(folder / "run.json", content)), workflow_type="infer").run()
    return dict(json.loads(FOUND[0])["options"])


FOUND: list[str] = []
"""Fingerprints of the runs of :func:`run_of`."""


def keep(run: str) -> None:
    FOUND.append(run)


def _written(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_results_are_those_of_all_options_that_make_them_and_of_no_other(tmp_path: Path) -> None:
    (tmp_path / "masks.pt").write_bytes(b"one")
    found = run_of(tmp_path)
    assert found["head#reach_mm"] == 0.5 and found["segmenter#load_path"].startswith("sha256 ")
    assert run_of(tmp_path, batch_size=2, device="cuda", weights="mine.pt") == found
    assert run_of(tmp_path, head={"reach_mm": 0.6})["head#reach_mm"] == 0.6
    (tmp_path / "copy.pt").write_bytes(b"one")
    assert run_of(tmp_path, plausibility_reference=str(tmp_path / "copy.pt")) == found
    (tmp_path / "masks.pt").write_bytes(b"two")
    changed = run_of(tmp_path)
    assert {key for key in found if found[key] != changed[key]} == {"segmenter#load_path", "plausibility_reference"}


def test_outside_a_run_results_have_no_options() -> None:
    assert json.loads(results_run({"seed": 1}, ["writer"])) == {"seed": 1}


def of(**values: Any) -> RunSettings:
    made = RunSettings([])
    made.values = values
    return made


def test_changed_settings_are_named_with_both_values_the_shortest_names_first() -> None:
    with pytest.raises(InputError, match=r"^lr was 0\.1 and is 0\.2; more was None and is 1; a#b was 1 and is None$"):
        of(lr=0.2, more=1, same="x").load_state_dict({"lr": 0.1, "a#b": 1, "same": "x"})


def test_without_a_configuration_nothing_is_compared() -> None:
    RunSettings([]).load_state_dict({"lr": 0.1})
    of(lr=0.2).load_state_dict({})
    assert RunSettings([]).state_dict() == {}


def test_what_may_change_are_options_of_the_configurations() -> None:
    configs = Path(__file__).resolve().parents[2] / "configs"
    keys = {line.split(":")[0].strip() for path in configs.rglob("*.yaml") for line in path.read_text().splitlines()}
    assert keys >= MAY_CHANGE | FREE_OF_RESULTS - {"bundle_root", "workers"}


def test_settings_of_an_earlier_version_are_named_by_their_present_names() -> None:
    settings = {"rotation_deg#lowest": -2.5, "rotation_rad": 0.1, "changes_mm#lowest": -1.0}
    written = {"turning#lowest": -2.5, "rotation_rad": 0.1, "changes#lowest": -1.0}
    message = r"^it is from an earlier version: changes is now changes_mm; turning is now rotation_deg$"
    with pytest.raises(InputError, match=message):
        of(**settings).load_state_dict(written)
    of(**settings).load_state_dict(settings)
