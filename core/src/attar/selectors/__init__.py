"""Coresets: the baselines of every report, and initializers of distilled sets."""

from attar.selectors.rules import HERDING, K_CENTER, K_MEANS, MEANS, RANDOM
from attar.selectors.spaces import (
    FEATURE_SPACES,
    FeatureSpace,
    check_space,
    class_features,
    feature_model,
)
from attar.selectors.use import Means, Selection, check_averages, select, select_many

__all__ = [
    "FEATURE_SPACES",
    "HERDING",
    "K_CENTER",
    "K_MEANS",
    "MEANS",
    "RANDOM",
    "FeatureSpace",
    "Means",
    "Selection",
    "check_averages",
    "check_space",
    "class_features",
    "feature_model",
    "select",
    "select_many",
]
