"""How the documentation is built: ``make docs``."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.domains.python import PyObject

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_extensions"))

project = "Attar"
author = "The Attar authors"
copyright = "The Attar authors, Apache-2.0"
release = metadata.version("attar-core")
extensions = [
    "attar_commands",
    "offline",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "_extensions"]

# Tutorials are executed afresh, in a folder of their own, and an error in one is an error here.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True
myst_heading_anchors = 3
# As the command line does it; and no result of an earlier build is taken for one of this build.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Tutorials call the command line of the environment that builds this.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
# A library asks notebooks for a widget of progress that pages do not show.
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"
_cache = tempfile.TemporaryDirectory(prefix="attar-docs-")
os.environ["ATTAR_CACHE"] = _cache.name

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True}
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
# Names of other projects are not looked up, which would take the network, and type variables of
# one letter are documented nowhere.
nitpick_ignore_regex = [("py:.*", r"(?!attar).*"), ("py:.*", r"attar.*\.[A-Z]")]

# Dashes and dots are set; quotation marks stay as they are typed.
smartquotes_action = "De"
# Fonts are the reader's own, and nothing is loaded from elsewhere.
html_theme = "furo"
html_title = f"Attar {release}"
html_static_path = ["_static"]
html_css_files = ["attar.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False


def _elsewhere(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.reference | None:
    """Find a name where it is documented, which may be a shorter place than where it is defined."""
    if node.get("refdomain") != "py":
        return None
    domain: Any = env.get_domain("py")
    words = node["reftarget"].split(".")
    # "Class.method" is looked for as such, "attar.somewhere.Class" by its last word.
    name = ".".join(words[-2:] if words[-2:-1] and words[-2][:1].isupper() else words[-1:])
    kinds = ("class", "data", "exception", "function", "method")
    found = [
        full
        for full, known in domain.objects.items()
        if full.startswith("attar") and full.endswith(f".{name}") and known.objtype in kinds
    ]
    if "." not in name:
        # A method's name alone says too little.
        found = [full for full in found if domain.objects[full].objtype != "method"]
    if len(found) != 1:
        return None
    resolved: nodes.reference | None = domain.resolve_xref(
        env, node["refdoc"], app.builder, "obj", found[0], node, contnode
    )
    return resolved


def _constants(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep a constant's text together: napoleon takes what stands before a colon for its type."""
    if what in ("attribute", "data", "property"):
        # An empty comment has no colon.
        lines[:0] = ["..", ""]


def _skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what every record has."""
    return True if name == "model_config" else None


def setup(app: Sphinx) -> None:
    """Connect what is particular to this documentation."""
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("autodoc-skip-member", _skip)
    app.connect("missing-reference", _elsewhere)
    # Before napoleon, which has 500.
    app.connect("autodoc-process-docstring", _constants, priority=400)
