"""The dataset card: a README that people and the Hugging Face Hub can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attar.artifact.manifest import Manifest

__all__ = ["dataset_card"]

_CATEGORIES = {
    "image": "image-classification",
    "audio": "audio-classification",
    "text": "text-classification",
    "graph": "graph-ml",
}
_SIZES = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6))


def _code(text: str) -> str:
    """Return text as inline code that cannot break out of a table cell or become markup."""
    clean = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"`{clean}`" if clean else "` `"


def dataset_card(manifest: Manifest) -> str:
    """Return the card of an artifact, as Markdown with a YAML head."""
    data, size, method = manifest.data, manifest.size, manifest.method
    category = next((name for name, most in _SIZES if size.decoded < most), "n>1M")
    task = _CATEGORIES.get(data.modality, "tabular-classification")
    made = "distilled by" if manifest.kind == "distilled" else "selected by"
    shown = ", ".join(_code(name) for name in data.classes[:50])
    more = f" and {len(data.classes) - 50} more" if len(data.classes) > 50 else ""
    rows = [
        ("Real data", f"{_code(data.name)}, {sum(data.counts):,} training samples"),
        ("Classes", f"{len(data.classes)}: {shown}{more}"),
        ("Samples", f"{size.stored:,} stored, {size.decoded:,} decoded"),
        ("Bytes", f"{size.bytes:,} of tensors, {size.bytes_on_disk:,} on disk"),
        ("Method", f"{_code(method.name)}: {_code(method.reference)}"),
        ("Seed", str(manifest.seed)),
        ("Protocol", _code(manifest.protocol.name)),
        ("Cost", f"{manifest.cost.cpu:,.0f} CPU seconds"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"""---
license: unknown
task_categories:
- {task}
size_categories:
- {category}
tags:
- dataset-distillation
- attar
---

# A small set {made} {_code(method.name)}

This folder holds a small training set that stands for a much larger real one.

| | |
| --- | --- |
{table}

## Use

```python
import attar

artifact = attar.load("this-folder")
inputs, labels = artifact.to_torch().tensors
```

`manifest.json` says everything else: preprocessing, settings, versions and hashes.

## Limits

The samples were made from real ones and can reveal them: no anonymity is implied, and no
formal privacy guarantee is given. The license of the real data applies as its owner says.
"""
