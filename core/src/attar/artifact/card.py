"""The dataset card: a README that people and the Hugging Face Hub can read."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from attar.errors import InternalError, UsageError
from attar.plain import plain

if TYPE_CHECKING:
    from attar.artifact.manifest import Manifest

__all__ = ["LICENSES", "check_license", "code", "dataset_card", "made_by"]

_SIZES = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6))

LICENSES = frozenset(
    """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda
    cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0
    cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
    cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0
    etalab-2.0 eupl-1.1 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c
    ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
    unknown other
    """.split()
)
"""Identifiers that the Hub knows (https://huggingface.co/docs/hub/repositories-licenses)."""


def check_license(name: str) -> str:
    """Return the identifier of a license.

    Raises:
        UsageError: If the Hub does not know it.
    """
    if name not in LICENSES:
        close = difflib.get_close_matches(name, sorted(LICENSES), n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        raise UsageError(
            f"unknown license {name!r}: {meant}give an identifier that the Hub knows, such as mit or "
            f"cc-by-4.0, or 'other'"
        )
    return name


def code(text: str) -> str:
    """Return text as inline code that cannot break out of a table cell or become markup."""
    clean = " ".join(plain(text).replace("`", "'").replace("|", "/").split())
    return f"`{clean}`" if clean else "` `"


def made_by(manifest: Manifest) -> str:
    """Return how a set came about, as Markdown."""
    return (
        "given as arrays" if manifest.kind == "given" else f"{manifest.kind} by {code(manifest.method.name)}"
    )


def _head(license: str, category: str, size: str) -> str:
    """Return a card's head as YAML; a license that the Hub does not know is named in it."""
    # Needed only where a card is written, and slow to import.
    from huggingface_hub import DatasetCardData

    known = license.lower() in LICENSES
    head = DatasetCardData(
        license=license.lower() if known else "other",
        task_categories=[category],
        size_categories=[size],
    )
    if not known:
        head["license_name"] = re.sub(r"[^a-z0-9.+]+", "-", license.lower()).strip("-") or "own"
    head["tags"] = ["dataset-distillation", "attar"]
    text: str = head.to_yaml(line_break="\n")
    return text


def _validated(head: str, body: str) -> str:
    """Return the card, after reading it as the Hub does."""
    from huggingface_hub import DatasetCard

    text = f"---\n{head}\n---\n\n{body}"
    card = DatasetCard(text)
    if card.data.to_yaml(line_break="\n") != head or card.text.strip() != body.strip():
        raise InternalError("the dataset card is read otherwise than it was written")
    return text


def dataset_card(manifest: Manifest, *, license: str = "") -> str:
    """Return the card of an artifact, as Markdown with a YAML head.

    Args:
        manifest: What the set is.
        license: License that the set is published under; by default that of the real data.
    """
    data, size, method = manifest.data, manifest.size, manifest.method
    category = next((name for name, most in _SIZES if size.decoded < most), "n>1M")
    task = data.category
    shown = ", ".join(code(name) for name in data.classes[:50])
    more = f" and {len(data.classes) - 50} more" if len(data.classes) > 50 else ""
    rows = [
        ("Real data", f"{code(data.name)}, {data.training_samples}"),
        ("Classes", f"{len(data.classes)}: {shown}{more}"),
        ("Samples", f"{size.stored:,} stored, {size.decoded:,} decoded"),
        ("Bytes", f"{size.bytes:,} of tensors, {size.bytes_on_disk:,} on disk"),
        ("Method", f"{code(method.name)}: {code(method.reference)}"),
        ("Seed", str(manifest.seed)),
        ("Protocol", code(manifest.protocol.name)),
        ("Cost", f"{manifest.cost.cpu:,.0f} CPU seconds"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    body = f"""# A small set {made_by(manifest)}

This folder holds a small training set that stands for a much larger real one.

| | |
| --- | --- |
{table}

## Use

```python
import attar

artifact = attar.load("this-folder")
batch = artifact.decode()
inputs, labels = batch.inputs, batch.labels
```

`manifest.json` says everything else: preprocessing, settings, versions and hashes.

## Limits

The samples were made from real ones and can reveal them, persons included: no anonymity is
implied, and no formal privacy guarantee is given.

{_rights(data.license, license)}
"""
    return _validated(_head(license or data.license, task, category), body)


def _rights(source: str, own: str) -> str:
    """Return what the card says of licenses."""
    stated = (
        "The license of the real data is unknown: ask their owner before you share the set."
        if source == "unknown"
        else f"The real data have the license {code(source)}, as their owner says."
    )
    mine = f" Whoever published the set chose {code(own)} for it." if own and own != source else ""
    return stated + mine
