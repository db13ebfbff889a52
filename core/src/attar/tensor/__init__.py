"""Tensor data of any shape ``(n, *feature)``: what image, audio, text and tabular modalities share."""

from attar.tensor.augment import Gain, Mixing, Mixup, Noise, Operation, Shift, TensorAugment
from attar.tensor.items import ArrayItems, Items, ItemsView, JoinedItems
from attar.tensor.modality import TensorModality, restore_set
from attar.tensor.preprocess import Standardize
from attar.tensor.splits import GroupOptions, Parts, SplitOptions, holdout, split, split_rows
from attar.tensor.synthetic import TensorSet, make_set
from attar.tensor.task import Architecture, TensorTask

__all__ = [
    "Architecture",
    "ArrayItems",
    "Gain",
    "GroupOptions",
    "Items",
    "ItemsView",
    "JoinedItems",
    "Mixing",
    "Mixup",
    "Noise",
    "Operation",
    "Parts",
    "Shift",
    "SplitOptions",
    "Standardize",
    "TensorAugment",
    "TensorModality",
    "TensorSet",
    "TensorTask",
    "holdout",
    "make_set",
    "restore_set",
    "split",
    "split_rows",
]
