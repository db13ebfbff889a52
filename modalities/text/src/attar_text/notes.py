"""A small generated corpus."""

from __future__ import annotations

import random

__all__ = ["notes"]

_TOPICS = {
    "cooking": (
        "soup bread onion pepper oven butter dough sauce garlic rice pan flour salt cake lemon".split(),
        "bake stir chop boil fry serve taste knead simmer season".split(),
    ),
    "gardening": (
        "rose seed soil leaf hedge pond lawn tulip spade compost bed root tree weed tomato".split(),
        "plant water prune dig sow rake harvest trim mulch grow".split(),
    ),
    "music": (
        "song guitar choir drum melody piano violin concert tune rhythm band chord verse flute".split(),
        "play sing tune rehearse record hum strum conduct compose perform".split(),
    ),
    "travel": (
        "train ticket hotel map airport beach suitcase harbor border museum bus passport city tent".split(),
        "book visit pack cross board explore arrive depart rent camp".split(),
    ),
}
_FRAMES = (
    "please {verb} the {one} before you {other} the {two}",
    "we {verb} every {one} near the {two} and {other} again",
    "did they {verb} a {one} or {other} the {two} yesterday",
    "{verb} the {two} slowly , then {other} the {one}",
    "my friend wants to {verb} another {one} and a {two}",
    "nobody could {verb} this {one} without a {two}",
)
_SEED = 7
_EACH = 120
_STRAY = 0.25


def notes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return 480 sentences that a template and lists of words make, and the topic of each.

    A quarter of the words are of another topic, so that no word alone tells the class.
    """
    draw = random.Random(_SEED)
    texts, labels = [], []
    for topic in _TOPICS:
        for _ in range(_EACH):

            def word(kind: int, topic: str = topic) -> str:
                source = draw.choice(list(_TOPICS)) if draw.random() < _STRAY else topic
                return draw.choice(_TOPICS[source][kind])

            frame = draw.choice(_FRAMES)
            texts.append(frame.format(verb=word(1), other=word(1), one=word(0), two=word(0)))
            labels.append(topic)
    return tuple(texts), tuple(labels)
