"""The contracts of the five plugin groups: what an entry point must load.

A plugin is any object with the attributes named here; none of these classes must be
subclassed. ``attar.registry`` checks a plugin when it loads it.
"""

from attar.plugins.applications import Application, Recorded
from attar.plugins.methods import (
    Averages,
    Method,
    MethodSettings,
    NamesAxes,
    ParameterizationPlugin,
    Selector,
    meant_for,
    stands_in,
)
from attar.plugins.modalities import (
    TABULAR,
    AsGraph,
    CacheMode,
    Captioned,
    Categorized,
    DataInfo,
    Demonstrates,
    DemoSpec,
    Described,
    Describes,
    Export,
    ExportType,
    GivenData,
    HasCompanions,
    LoadRequest,
    MadeAnew,
    Modality,
    ReadsArrays,
    Shared,
    Tabular,
)

__all__ = [
    "TABULAR",
    "Application",
    "AsGraph",
    "Averages",
    "CacheMode",
    "Captioned",
    "Categorized",
    "DataInfo",
    "DemoSpec",
    "Demonstrates",
    "Described",
    "Describes",
    "Export",
    "ExportType",
    "GivenData",
    "HasCompanions",
    "LoadRequest",
    "MadeAnew",
    "Method",
    "MethodSettings",
    "Modality",
    "NamesAxes",
    "ParameterizationPlugin",
    "ReadsArrays",
    "Recorded",
    "Selector",
    "Shared",
    "Tabular",
    "meant_for",
    "stands_in",
]
