"""Names of marks give finger, side and joint, or nothing where they are ambiguous."""

from __future__ import annotations

import pytest
from bundle.io.mark_names import read_mark_name
from bundle.joint import FINGERS, SIDES

NAMES = {
    "mcp2": "index - MCP",
    "MCP II R": "index right MCP",
    "MCPIVL": "ring left MCP",
    "rmcp5": "small right MCP",
    "MCP-3 L": "middle left MCP",
    "MCP joint 4": "ring - MCP",
    "2nd MCP": "index - MCP",
    "index": "index - -",
    "Index left": "index left -",
    "index_L": "index left -",
    "indexMCP": "index - MCP",
    "leftindexmcp": "index left MCP",
    "little finger, right hand": "small right -",
    "small": "small - -",
    "pinky": "small - -",
    "thumb IP": "thumb - IP",
    "2": "index - -",
    "R2": "index right -",
    "2R": "index right -",
    "D2": "index - -",
    "fifth digit left": "small left -",
    "IV": "ring - -",
    "index 3": "index - -",
    "PIP 2": "index - PIP",
    "Doe II mcp3": "middle - MCP",
    "base of the middle phalanx, index": "index - -",
    "joint A": "- - -",
    "joint 1": "- - -",
    "other 1": "- - -",
    "II left hand": "index left -",
    "11": "- - -",
    "4711": "- - -",
    "Springer": "- - -",
    "ring MCP 2": "- - MCP",
    "MCP 2 or MCP 3": "- - MCP",
    "index left right": "index - -",
    "": "- - -",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_states(name: str) -> None:
    found = read_mark_name(name)
    assert " ".join(part if part not in ("unknown", "") else "-" for part in found) == NAMES[name]
    assert found.finger in (*FINGERS, "unknown") and found.side in (*SIDES, "unknown")


@pytest.mark.parametrize("finger", FINGERS)
@pytest.mark.parametrize("side", SIDES)
def test_the_names_of_the_bundle_state_themselves(finger: str, side: str) -> None:
    assert read_mark_name(f"{side}_{finger}_MCP") == (finger, side, "MCP")
