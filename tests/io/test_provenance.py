from __future__ import annotations

import shlex
import sys

import pytest
import torch
from bundle.io.provenance import command_line, machine, processor


def test_a_command_of_monai_is_given_as_it_would_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["run", "evaluating", "--config_file", "['a.json', 'b.yaml']", "--measures", "E1"]
    monkeypatch.setattr(sys, "argv", ["/anywhere/site-packages/monai/bundle/__main__.py", *given])
    expected = "python -m monai.bundle run evaluating --config_file \"['a.json', 'b.yaml']\" --measures E1"
    assert command_line() == expected


@pytest.mark.slow
@pytest.mark.parametrize("argument", ["['E1']", "it's $HOME", 'say "it\'s"', "a b", "", "plain", "'!'", "a\\'b"])
def test_a_shell_reads_the_command_as_it_was_given(monkeypatch: pytest.MonkeyPatch, argument: str) -> None:
    monkeypatch.setattr(sys, "argv", ["monai/bundle/__main__.py", "run", argument])
    assert shlex.split(command_line() or "")[3:] == ["run", argument]


def test_a_command_does_not_tell_where_a_machine_keeps_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["monai/bundle/__main__.py", "run", "--dataset_dir", "/disk/someone/Data", "a/b"])
    assert command_line() == "python -m monai.bundle run --dataset_dir Data a/b"


def test_another_program_has_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pytest", "-q"])
    assert command_line() is None


def test_the_machine_is_described_by_what_figures_depend_on() -> None:
    found = machine("cpu")
    assert found["cpu"] == processor() != ""
    assert found["device"] == "cpu"
    assert found["threads"] == torch.get_num_threads()
    assert found["torch"] == torch.__version__
