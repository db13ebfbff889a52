"""Pages that tell people of runs, one file each: ``attar report``.

An application whose runs are to be read there offers :class:`attar.plugins.Pages` and returns a
:class:`Part` of blocks; :func:`samples_section` shows the samples of an artifact in it.
"""

from attar.pages.blocks import (
    Block,
    Code,
    Facts,
    Gallery,
    GalleryClass,
    GallerySample,
    Part,
    Picture,
    Section,
    Table,
    Told,
)
from attar.pages.collect import parts_of, recipe_keys
from attar.pages.evaluations import percent
from attar.pages.rendering import render_page
from attar.pages.samples import Beside, samples_section

__all__ = [
    "Beside",
    "Block",
    "Code",
    "Facts",
    "Gallery",
    "GalleryClass",
    "GallerySample",
    "Part",
    "Picture",
    "Section",
    "Table",
    "Told",
    "parts_of",
    "percent",
    "recipe_keys",
    "render_page",
    "samples_section",
]
