"""Images for Attar: public data sets, folders of your own, networks and augmentation."""

from attar_image.augment import Color, Crop, Cutout, Flip, Rotate, Scale, affine, siamese
from attar_image.folder import IMAGES, read_folder
from attar_image.modality import IMAGE, ImageModality, ImageOptions
from attar_image.networks import ARCHITECTURES, VGG11, AlexNet, LeNet, ResNet18

__all__ = [
    "ARCHITECTURES",
    "IMAGE",
    "IMAGES",
    "VGG11",
    "AlexNet",
    "Color",
    "Crop",
    "Cutout",
    "Flip",
    "ImageModality",
    "ImageOptions",
    "LeNet",
    "ResNet18",
    "Rotate",
    "Scale",
    "affine",
    "read_folder",
    "siamese",
]
