"""The cache folder of the user."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CACHE = "JOINT_CACHE"
"""Environment variable with the cache folder."""


def cache_folder() -> Path:
    """Return the folder of exported networks and compiled loops: :data:`CACHE`, or one in the user's cache folder."""
    if os.environ.get(CACHE):
        return Path(os.environ[CACHE])
    home = Path.home()
    folders = {"darwin": home / "Library" / "Caches", "win32": os.environ.get("LOCALAPPDATA", home)}
    usual = os.environ.get("XDG_CACHE_HOME") or folders.get(sys.platform, home / ".cache")
    return Path(usual) / "finger-joint-layer-separation"
