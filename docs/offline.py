"""The pages of the site load nothing from elsewhere: no scripts, styles, fonts or pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.errors import ExtensionError

_LOADED = (
    re.compile(r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""),
    re.compile(r"""<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|icon))[^>]*\bhref=["']?((?:https?:)?//[^"'\s>]+)"""),
    re.compile(r"""(?:@import\s+|url\()\s*(?:url\()?["']?((?:https?:)?//[^"')\s]+)"""),
)


def loaded_from_elsewhere(text: str) -> list[str]:
    """Addresses that a browser loads when it shows a page or a style sheet; links to follow are none.

    >>> loaded_from_elsewhere('<a href="https://a.org">a</a> <script src="https://b.org/c.js"></script>')
    ['https://b.org/c.js']
    """
    return [address for pattern in _LOADED for address in pattern.findall(text)]


def pages_that_load_from_elsewhere(folder: Path) -> Iterator[str]:
    """Files of a built site with what they load from elsewhere."""
    for file in sorted([*folder.rglob("*.html"), *folder.rglob("*.css")]):
        for address in loaded_from_elsewhere(file.read_text(encoding="utf-8")):
            yield f"{file.relative_to(folder)}: {address}"


def refuse_pages_that_load_from_elsewhere(app: Any, exception: Exception | None) -> None:
    """Fail a build of which a page would load something from elsewhere; for Sphinx's event ``build-finished``."""
    found = [] if exception else list(pages_that_load_from_elsewhere(Path(app.outdir)))
    if found:
        msg = f"pages load from elsewhere: {'; '.join(found[:5])}: put the files into docs/_static"
        raise ExtensionError(msg)
