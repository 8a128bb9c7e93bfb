"""A training leaves out wrong labels, and ends without files left over when it is stopped or its server is killed."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image
from tests.scripts.monai_label.label_server import Server, leftovers, started, wait_until
from tests.scripts.monai_label.studies import (
    label_file,
    label_map,
    write_studies,
    write_untrained_weights,
    wrong_labels,
)


@pytest.mark.long
def test_labels_saved_before_the_check_are_left_out_of_a_training(label_python: str, tmp_path: Path) -> None:
    """The server is killed in the next training: its child ends, and neither files nor other weights are left."""
    write_studies(tmp_path / "studies")
    write_untrained_weights(tmp_path / "model" / "bone_masks.pt")
    (tmp_path / "studies" / "labels" / "final").mkdir(parents=True)
    swapped, _ = wrong_labels("joint_7")["swapped"]
    Image.fromarray(label_map(swapped)).save(tmp_path / "studies" / "labels" / "final" / "joint_7.png")
    kept = (tmp_path / "model" / "bone_masks.pt").read_bytes()
    with started(label_python, tmp_path) as (server, process):
        for seed in range(3):
            server.save(f"joint_{seed}", label_file(tmp_path, f"joint_{seed}", "png"))
        assert server.train(max_epochs=1, pretrained=False)["status"] == "DONE"
        stats = server.json("GET", "/info/")["train_stats"]["bone_masks"]
        assert (stats["labels"], list(stats["left_out"]), stats["replaced"]) == (3, ["joint_7"], False)
        assert "2 joints are held out, and a comparison needs 12" in stats["verdict"]
        wait_until(lambda: not leftovers(server), 5)
        check_stopped(server)
        check_killed(server, process)
    assert (tmp_path / "model" / "bone_masks.pt").read_bytes() == kept


def check_stopped(server: Server) -> None:
    """A training that is stopped leaves no files, and while there they are the user's only."""
    train_long(server)
    assert all(path.stat().st_mode & 0o077 == 0 for path in leftovers(server))
    server.ask("DELETE", "/train/")
    wait_until(lambda: not leftovers(server), 10)


def check_killed(server: Server, process: subprocess.Popen[bytes]) -> None:
    """A training ends with its server."""
    train_long(server)
    children = children_of(process.pid)
    assert children
    process.kill()
    process.wait(timeout=10)
    wait_until(lambda: not any(map(is_alive, children)), 10)
    wait_until(lambda: not leftovers(server), 5)


def train_long(server: Server) -> None:
    server.json("POST", "/train/bone_masks", {"max_epochs": 1000})
    wait_until(lambda: any(path.name.startswith("events.") for path in leftovers(server)), 120)


def children_of(pid: int) -> list[int]:
    found = [path.parent.name for path in Path("/proc").glob("[0-9]*/stat") if parent_of(path) == pid]
    return list(map(int, found))


def parent_of(path: Path) -> int:
    with suppress(OSError):
        return int(path.read_text().rsplit(")", 1)[1].split()[1])
    return 0


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False
