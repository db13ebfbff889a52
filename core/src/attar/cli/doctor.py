"""``attar doctor``."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from attar.cli import tables
from attar.doctor import Diagnosis, diagnose
from attar.plain import plain

__all__ = ["print_diagnosis"]


def print_diagnosis(*, as_json: bool) -> None:
    """Print what this machine has, and advice."""
    found = diagnose()
    if as_json:
        tables.print_json(found)
        return
    tables.print_pairs({"python": found.versions["python"], **_packages(found)}, title="versions")
    tables.print_pairs(_machine(found), title="machine")
    tables.print_pairs(_places(found), title="folders")
    tables.print_pairs(_plugins(found), title="plugins")
    _print_advice(found, tables.console())


def _packages(found: Diagnosis) -> dict[str, str]:
    own = {name: number for name, number in found.versions.items() if name.startswith("attar")}
    others = (f"{name} {n}" for name, n in found.versions.items() if name not in own and name != "python")
    return {**own, "others": ", ".join(others)}


def _gib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.1f} GiB"


def _machine(found: Diagnosis) -> dict[str, str]:
    system, processor, threads = found.system, found.processor, found.threads
    words = (system.name, system.release, system.machine, system.libc)
    cores = f", {processor.physical} cores" if processor.physical else ""
    set_ = "".join(f", {name}={value}" for name, value in threads.environment.items())
    rows = {
        "system": " ".join(word for word in words if word),
        "processor": f"{processor.name} ({processor.usable} of {processor.logical} processors usable{cores}, "
        f"{processor.capability}{', bfloat16' if processor.bf16 else ''})",
        "memory": f"{_gib(found.memory.available_bytes)} of {_gib(found.memory.total_bytes)} available",
        "threads": f"{threads.torch} in an operation, {threads.interop} operations side by side{set_}",
        "allocator": found.allocator.preloaded or ("tunable" if found.allocator.tunable else "not tunable"),
    }
    for device in found.devices:
        traits = [
            _gib(device.memory_bytes),
            "" if device.float64 else "no float64",
            "auto" if device.auto else "",
        ]
        traits = [trait for trait in traits if trait]
        rows[f"device {device.name}"] = f"{device.description} ({', '.join(traits)})"
    return rows


def _places(found: Diagnosis) -> dict[str, str]:
    rows = {}
    for folder in found.folders:
        traits = [
            f"{_gib(folder.free_bytes)} free",
            folder.file_system,
            "" if folder.exists else "not there yet",
            "" if folder.writable else "not writable",
            "no locks" if folder.locks is False else "",
        ]
        rows[folder.purpose] = f"{folder.path} ({', '.join(trait for trait in traits if trait)})"
    return rows


def _plugins(found: Diagnosis) -> dict[str, str]:
    rows = {"loaded": str(found.plugins.loaded)}
    for plugin in found.plugins.failed:
        rows[f"{plugin.group} {plugin.name}"] = f"failed, from {plugin.distribution} {plugin.version}"
    return rows


def _print_advice(found: Diagnosis, screen: Console) -> None:
    """Print what is slow or broken, and apart from it what could be installed."""
    _print_lines("advice", (each.sentence for each in found.advice if each.about != "extra"), screen)
    _print_lines("could be added", (each.sentence for each in found.advice if each.about == "extra"), screen)


def _print_lines(title: str, sentences: Iterable[str], screen: Console) -> None:
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(overflow="fold")
    for sentence in sentences:
        table.add_row("-", Text(plain(sentence)))
    if table.row_count:
        screen.print(Text(title, style="italic"))
        screen.print(table)
