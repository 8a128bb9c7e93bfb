"""Names of the package that stand as code in a page become links to the API; on GitHub they stay code."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from reference_pages import public_name, public_rooms
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parents[1]


def documented_name(text: str) -> str:
    """The documented name that a piece of code is, with or without brackets behind it; else "".

    >>> documented_name("bundle.physics.reconstruct()")
    'bundle.physics.reconstruct'
    """
    name = text.removesuffix("()")
    return name if name in public_rooms(ROOT) or public_name(name) == name else public_name(name)


class CodeLinks(SphinxTransform):
    """Wrap such code in a reference that Sphinx resolves."""

    default_priority = 400

    def apply(self, **kwargs: object) -> None:
        """Change the document."""
        for code in list(self.document.findall(nodes.literal)):
            inside = (nodes.reference, nodes.title, addnodes.pending_xref)
            name = "" if isinstance(code.parent, inside) else documented_name(code.astext())
            if name:
                reference = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=name, refexplicit=True)
                reference["refdoc"] = self.env.docname
                code.replace_self(reference)
                reference += code
