"""The documentation site: python -m sphinx -W -b html docs build/html

Nothing is loaded from elsewhere, neither when it is built nor when it is read.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS)]
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

from code_links import CodeLinks  # noqa: E402
from example_page import write_example_page  # noqa: E402
from offline import refuse_pages_that_load_from_elsewhere  # noqa: E402
from reference_pages import public_name, write_reference_pages  # noqa: E402

project = "Finger joint layer separation"
author = "The finger joint layer separation developers"
copyright = f"2026, {author}"
release = json.loads((ROOT / "configs" / "metadata.json").read_text())["version"]
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["results", "gallery"]
html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_extra_path = ["_generated/extra"]
html_css_files = ["site.css"]
html_copy_source = False

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["config.cache", "myst.header"]  # the zoo's model card jumps from ## to ####

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autosummary_generate = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "_generated/gallery",
    "filename_pattern": r"/gallery/",
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": (),
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "reset_modules": ("matplotlib",),
    "run_stale_examples": False,
}


def resolve_to_public_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Link a name by the module it is defined in to the room that documents it."""
    if node.get("refdomain") != "py" or not (name := public_name(node.get("reftarget", ""))):
        return None
    python = env.get_domain("py")
    kind, source = node.get("reftype"), node.get("refdoc", "")
    return python.resolve_xref(env, source, app.builder, kind, name, node, content)


def setup(app: Any) -> None:
    """Write the pages that are made by the package, before Sphinx looks for pages."""
    import_module("torch")
    write_reference_pages(ROOT, DOCS / "_generated")
    write_example_page(DOCS / "_generated" / "extra")
    app.add_transform(CodeLinks)
    app.connect("missing-reference", resolve_to_public_name)
    app.connect("build-finished", refuse_pages_that_load_from_elsewhere)
