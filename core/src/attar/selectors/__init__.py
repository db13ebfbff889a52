"""Coresets: the baselines of every report, and initializers of distilled sets."""

from attar.selectors.rules import HERDING, K_CENTER, K_MEANS, RANDOM
from attar.selectors.spaces import (
    FEATURE_SPACES,
    FeatureSpace,
    check_space,
    class_features,
    feature_model,
)
from attar.selectors.use import Selection, select, select_many

__all__ = [
    "FEATURE_SPACES",
    "HERDING",
    "K_CENTER",
    "K_MEANS",
    "RANDOM",
    "FeatureSpace",
    "Selection",
    "check_space",
    "class_features",
    "feature_model",
    "select",
    "select_many",
]
