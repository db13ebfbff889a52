"""Speech Commands by name, as torchaudio keeps it, split by its own lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from attar.encoded import read_folder
from attar.errors import UsageError
from attar.plugins import LoadRequest

from attar_audio.clips import SOUNDS
from attar_audio.form import AudioOptions
from attar_audio.sources import Recordings, encoded

__all__ = ["PUBLIC", "PublicRecordings", "public_recordings"]

_BACKGROUND = "_background_noise_"
_FOLDER = "SpeechCommands"


@dataclass(frozen=True, kw_only=True)
class PublicRecordings:
    """A version of Speech Commands.

    Attributes:
        summary: A line about it.
        version: Name of the archive and of its folder.
        words: The classes, or () for all.
        license: License of the recordings.
    """

    summary: str
    version: str = "speech_commands_v0.02"
    words: tuple[str, ...] = ()
    license: str = "cc-by-4.0"


PUBLIC: Mapping[str, PublicRecordings] = {
    "speech-commands": PublicRecordings(
        summary="105,829 spoken words of a second, 35 classes (torchaudio)",
    ),
    "speech-commands-mini": PublicRecordings(
        summary="the 8 words of the mini Speech Commands, from the whole set (torchaudio)",
        words=("down", "go", "left", "no", "right", "stop", "up", "yes"),
    ),
}
"""The sets known by name."""


def public_recordings(request: LoadRequest, options: AudioOptions) -> Recordings:
    """Return a data set of :data:`PUBLIC`, split by its lists, which keep a speaker on one side.

    Raises:
        UsageError: If the data are missing or damaged.
    """
    known = PUBLIC[request.data]
    folder = request.root / _FOLDER / known.version
    if not folder.is_dir():
        if not request.download:
            raise UsageError(
                f"{request.data} is not in {str(request.root)!r}: give its folder with --root, or fetch it "
                f"with --download"
            )
        _fetch(request.data, request.root, known.version)
    # Noise lies in a folder of its own, which is no word.
    others = {_BACKGROUND}
    if known.words:
        others = {path.name for path in folder.iterdir() if path.name not in known.words}
    everything = read_folder(folder, SOUNDS, leave=others)
    options = options.model_copy(update={"seconds": options.seconds or 1.0, "rate": options.rate or 16_000})
    if options.group_pattern:
        return encoded(request.data, everything, None, options, request, license=known.license)
    held = {part: _listed(folder / f"{part}_list.txt") for part in ("testing", "validation")}
    rows: dict[str, list[int]] = {"training": [], "testing": [], "validation": []}
    for row, name in enumerate(everything.names):
        part = next((part for part, names in held.items() if name in names), "training")
        rows[part].append(row)
    return encoded(
        request.data,
        everything.some(rows["training"]),
        everything.some(rows["testing"]),
        options,
        request,
        validation=everything.some(rows["validation"]),
        license=known.license,
    )


def _listed(path: Path) -> frozenset[str]:
    try:
        return frozenset(path.read_text("utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the list {str(path)!r} is missing or damaged; fetch the data again") from error


def _fetch(name: str, root: Path, version: str) -> None:
    from torchaudio.datasets import SPEECHCOMMANDS

    try:
        root.mkdir(parents=True, exist_ok=True)
        SPEECHCOMMANDS(str(root), url=version, folder_in_archive=_FOLDER, download=True)
    except (OSError, RuntimeError) as error:
        raise UsageError(f"{name} cannot be fetched into {str(root)!r}: {error}") from error
