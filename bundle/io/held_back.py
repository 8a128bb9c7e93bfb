"""Joints that lists of a data set keep back for tests: nothing is learned from them unless their list is asked for.

A list is one of tests by its name, ``test`` or ``..._test``.
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
    """What the test lists of a data set keep back.

    Args:
        listed: images of each list of the data set, by the list's name.
    """

    def __init__(self, listed: Mapping[str, Iterable[str]]) -> None:
        tests = [name for name in sorted(listed) if _TEST.fullmatch(name)]
        self.images = {image: name for name in reversed(tests) for image in listed[name]}
        others = {image for name, images in listed.items() if name not in tests for image in images}
        self.folders = {_folder(image): name for image, name in self.images.items()}
        for image in others:
            self.folders.pop(_folder(image), None)

    def list_of(self, item: Mapping[str, Any]) -> str:
        """The test list that names an item's image; empty where there is none."""
        return self.images.get(str(item["image"]), "")

    def without(self, items: Sequence[dict[str, Any]]) -> Items:
        """The items of a whole folder that no test list keeps back.

        A test list keeps back its images, and all others in their folders where those are joints: where there are
        several, and no other list names an image in them.

        Raises:
            InputError: none is left.
        """
        are_joints = len({_folder(str(item["image"])) for item in items}) > 1
        folders = self.folders if are_joints else {}
        kept = [item for item in items if not self.list_of(item) and _folder(str(item["image"])) not in folders]
        lists = sorted({*self.images.values()})
        if not kept:
            msg = f"{', '.join(lists)} holds every radiograph of the folder back for tests. Name a list by --datalist."
            raise InputError(msg)
        if len(kept) < len(items):
            _log.warning(
                f"{len(items) - len(kept)} of {len(items)} radiographs are of joints held back for tests by "
                f"{', '.join(lists)}, and are left out. Name a list by --datalist to use them."
            )
        return kept

    def named(self, items: Sequence[dict[str, Any]]) -> Items:
        """The items, each with the ``test_list`` that holds it back, or an empty one."""
        found = [{**item, "test_list": self.list_of(item)} for item in items]
        tests = [item for item in found if item["test_list"]]
        if tests:
            _log.warning(
                f"{len(tests)} of {len(found)} radiographs are held back for tests by {tests[0]['test_list']}: what is "
                "learned from them cannot be tested on them."
            )
        return found


def _folder(image: str) -> str:
    return os.path.dirname(image)
