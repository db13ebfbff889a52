"""Plots of evaluations and comparisons, drawn without a display."""

from attar.plots.compared import ComparedLine, comparison_plot
from attar.plots.evaluated import accuracy_plot, confusion_plot, scores_plot
from attar.plots.figures import Form, new_figure, png_of, scale_by_powers, svg_of

__all__ = [
    "ComparedLine",
    "Form",
    "accuracy_plot",
    "comparison_plot",
    "confusion_plot",
    "new_figure",
    "png_of",
    "scale_by_powers",
    "scores_plot",
    "svg_of",
]
