"""One HTML file that shows joints without a server."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bundle.reading_room.opened import OpenedJoint

MOST = 50
"""Number of joints in a file."""

PAGES = Path(__file__).parent / "pages"
ENTRY = "viewer"
"""Module of the page."""

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async )?(?:function|class|const) (\w+)", re.MULTILINE)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<script type="application/json" id="joints">{joints}</script>
<script>{script}</script>
</body>
</html>
"""


def exported_page(joints: Sequence[tuple[str, OpenedJoint]], title: str, version: str) -> str:
    """Return a page that shows joints, with all that it needs.

    Args:
        joints: name of each joint, and the joint.
        title: title of the page.
        version: version of the bundle.
    """
    embedded = [{"name": name, **joint.geometry(), "planes": _compressed(joint.planes())} for name, joint in joints]
    values = json.dumps({"title": title, "version": version, "joints": embedded}, allow_nan=False)
    style, script = (PAGES / "room.css").read_text(encoding="utf-8"), joined_modules(ENTRY)
    return _PAGE.format(
        policy=f"default-src 'none'; img-src blob: data:; script-src {_sum(script)}; style-src {_sum(style)}",
        title=html.escape(title),
        style=style,
        joints=values.replace("<", "\\u003c"),
        script=script,
    )


def _compressed(planes: bytes) -> str:
    return base64.b64encode(gzip.compress(planes, compresslevel=6, mtime=0)).decode()


def _sum(content: str) -> str:
    """Quoted hash of an inline script or style for the Content-Security-Policy."""
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return "".join(["'sha256-", digest, "'"])


def joined_modules(entry: str) -> str:
    """Join a module of the pages and those that it imports into one script, each in a scope of its own."""
    parts = [_wrapped(name) for name in dict.fromkeys(_needed(entry))]
    return '"use strict";\n' + "\n".join(parts)


def _source(name: str) -> str:
    return (PAGES / "js" / f"{name}.js").read_text(encoding="utf-8")


def _needed(name: str) -> Iterator[str]:
    """The modules that a module imports, before it, with repetitions."""
    for _, other in _IMPORT.findall(_source(name)):
        yield from _needed(other)
    yield name


def _wrapped(name: str) -> str:
    """A module as a function that returns its exports, called once."""
    source = _source(name)
    exports = ", ".join(_EXPORT.findall(source))
    body = _IMPORT.sub(lambda found: f"const {{{_renamed(found[1])}}} = module_{found[2]};", source)
    body = re.sub(r"^export ", "", body, flags=re.MULTILINE)
    return f"const module_{name} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();"


def _renamed(names: str) -> str:
    """Names of an import as those of a destructuring: ``a as b`` becomes ``a: b``."""
    return names.replace(" as ", ": ")
