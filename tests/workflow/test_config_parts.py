"""A part of a configuration is built in other processes as in the one that runs it."""

from __future__ import annotations

import pickle

import pytest
from bundle.errors import InputError
from bundle.workflow.config_parts import ConfigPart
from monai.bundle import ConfigWorkflow


def part_of(tmp_path, lengths):
    """The part ``sum`` of a running configuration."""
    file = tmp_path / "run.json"
    file.write_text('{"lengths": [], "sum": "$sum(@lengths)", "run": []}')
    workflow = ConfigWorkflow(str(file), lengths=lengths, logging_file=False)
    workflow.parser["part"] = {"_target_": "bundle.workflow.ConfigPart", "id": "sum", "built": "@sum"}
    workflow.parser["run"] = ["@part"]
    workflow.parser.parse(reset=True)
    (part,) = workflow.run()
    return part


@pytest.mark.filterwarnings("ignore:parsing config_file", "ignore:Not all config")
def test_another_process_builds_the_part_with_the_options_of_the_run(tmp_path) -> None:
    part = part_of(tmp_path, [1, 2])
    assert part.built == 3
    assert pickle.loads(pickle.dumps(part)).built == 3
    part.built = None
    assert pickle.loads(pickle.dumps(part)).built == 3


def test_without_a_run_there_is_no_part() -> None:
    with pytest.raises(InputError, match="block is a part of a run's configuration"):
        ConfigPart("block", None)
