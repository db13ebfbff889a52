"""How a set changes while it is distilled: frames in the run's folder, and an animation of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from attar.errors import UsageError
from attar.files import write_file
from attar.plugins import DataInfo, Modality
from attar.runner import StepRecord

__all__ = ["FRAMES", "animation", "frame_paths", "recorder"]

FRAMES = "frames"
"""Folder of a run that holds its frames."""


def recorder(modality: Modality, info: DataInfo, folder: Path, frames: int) -> Callable[[StepRecord], None]:
    """Return a callback that draws the set at about `frames` evenly spaced steps.

    Args:
        modality: Draws the set.
        info: What is known of the data.
        folder: The run's folder; frames go to its subfolder ``frames``.
        frames: Number of frames, at least 1; the last step is always one of them.
    """

    def record(step: StepRecord) -> None:
        every = max(1, step.steps // frames)
        if step.step % every and step.step not in (1, step.steps):
            return
        with torch.no_grad():
            picture = modality.render(step.syn.decode(), info)
        write_file(folder / FRAMES / f"step-{step.step:08d}.png", picture)

    return record


def frame_paths(run: Path) -> list[Path]:
    """Return the frames of a run, in order.

    Raises:
        UsageError: If it has none.
    """
    found = sorted((run / FRAMES).glob("step-*.png"))
    if not found:
        raise UsageError(f"the run {str(run)!r} has no frames; distill it with --frames 40")
    return found


def animation(frames: Sequence[Path], seconds: float = 0.15) -> bytes:
    """Return an animated GIF of frames; the last one stays for two seconds.

    Args:
        frames: PNG files of one size, at least one.
        seconds: How long each is shown.

    Raises:
        UsageError: If a frame cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    pictures = []
    for path in frames:
        try:
            with Image.open(path) as image:
                # One palette for all frames keeps colors from flickering.
                pictures.append(image.convert("RGB"))
        except (OSError, UnidentifiedImageError) as error:
            raise UsageError(f"the frame {str(path)!r} cannot be read; remove it") from error
    palette = pictures[-1].quantize(colors=256)
    shown = [picture.quantize(palette=palette) for picture in pictures]
    target = io.BytesIO()
    each = int(seconds * 1000)
    durations = [each] * (len(shown) - 1) + [2000]
    shown[0].save(target, "GIF", save_all=True, append_images=shown[1:], duration=durations, loop=0)
    return target.getvalue()
