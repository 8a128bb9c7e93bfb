"""Joints held out by the test lists of a data set: excluded from training unless their list is named.

A test list is named ``test`` or ``..._test``.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bundle.errors import InputError

_TEST = re.compile(r"(?:.*_)?test(?:\.json)?")
_log = logging.getLogger("bundle.io")

Items = list[dict[str, Any]]


class HeldBack:
    """Joints held out by the test lists of a data set.

    Args:
        listed: image paths of each list of the data set, by list name.
    """

    def __init__(self, listed: Mapping[str, Iterable[str]]) -> None:
        tests = [name for name in sorted(listed) if _TEST.fullmatch(name)]
        self.images = {image: name for name in reversed(tests) for image in listed[name]}
        others = {image for name, images in listed.items() if name not in tests for image in images}
        self.folders = {_folder(image): name for image, name in self.images.items()}
        for image in others:
            self.folders.pop(_folder(image), None)

    def list_of(self, item: Mapping[str, Any]) -> str:
        """Name the test list that contains an item's image; empty if none does."""
        return self.images.get(str(item["image"]), "")

    def without(self, items: Sequence[dict[str, Any]]) -> Items:
        """Select the items of a whole folder that no test list holds out.

        A test list holds out its images, and all other images of a folder that stands for a joint: one of several
        folders, in which no other list names an image.

        Raises:
            InputError: no item remains.
        """
        are_joints = len({_folder(str(item["image"])) for item in items}) > 1
        folders = self.folders if are_joints else {}
        kept = [item for item in items if not self.list_of(item) and _folder(str(item["image"])) not in folders]
        lists = sorted({*self.images.values()})
        if not kept:
            msg = f"{', '.join(lists)}: all radiographs of the folder are held out for tests. Name a list: --datalist."
            raise InputError(msg)
        if len(kept) < len(items):
            _log.warning(
                f"{len(items) - len(kept)} of {len(items)} radiographs are excluded: their joints are held out for "
                f"tests by {', '.join(lists)}. Name a list with --datalist to use them."
            )
        return kept

    def named(self, items: Sequence[dict[str, Any]]) -> Items:
        """Add to each item the ``test_list`` that holds it out, or an empty one."""
        found = [{**item, "test_list": self.list_of(item)} for item in items]
        tests = [item for item in found if item["test_list"]]
        if tests:
            _log.warning(
                f"{len(tests)} of {len(found)} radiographs are held out for tests by {tests[0]['test_list']}: a "
                "network trained on them cannot be tested on them."
            )
        return found


def _folder(image: str) -> str:
    return os.path.dirname(image)
