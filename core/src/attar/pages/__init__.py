"""Pages that tell people of runs, one file each: ``attar report``.

An application whose runs are to be read there offers :class:`attar.plugins.Pages` and returns a
:class:`Part` of blocks; :func:`samples_section` shows the samples of an artifact in it, and
:func:`evaluation_blocks` what networks learn from them.
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
from attar.pages.sets import ReadSet, evaluation_blocks, read_set

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
    "ReadSet",
    "Section",
    "Table",
    "Told",
    "evaluation_blocks",
    "parts_of",
    "percent",
    "read_set",
    "recipe_keys",
    "render_page",
    "samples_section",
]
