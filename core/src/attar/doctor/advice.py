"""What is slow or broken, why, and what helps: a function of what was found alone."""

from __future__ import annotations

from collections.abc import Iterator

from attar.doctor.records import Advice, Diagnosis, Folder

__all__ = ["advise"]

_LITTLE_DISK = 2 * 2**30
_LITTLE_MEMORY = 2 * 2**30


def advise(found: Diagnosis) -> Iterator[Advice]:
    """Yield advice on what was found, the most important first."""
    topics = (
        ("plugin", _plugins(found)),
        ("disk", _disks(found)),
        ("threads", _threads(found)),
        ("device", _devices(found)),
        ("memory", _memory(found)),
        ("extra", _extras(found)),
    )
    for about, sentences in topics:
        for sentence in sentences:
            yield Advice(about=about, sentence=sentence)


def _plugins(found: Diagnosis) -> Iterator[str]:
    for plugin in found.plugins.failed:
        yield plugin.error


def _disks(found: Diagnosis) -> Iterator[str]:
    for folder in found.folders:
        if folder.purpose == "cache":
            yield from _cache(folder)
        elif folder.network:
            yield (
                f"the data folder {folder.path!r} is on a network disk ({folder.file_system}), and samples "
                f"may be read again in each step: copy the data to a local disk and name it with --root"
            )


def _cache(folder: Folder) -> Iterator[str]:
    elsewhere = "set ATTAR_CACHE to a folder on a local disk"
    if not folder.writable:
        yield (
            f"the cache folder {folder.path!r} cannot be written, so an evaluation would fail where it keeps "
            f"its results: {elsewhere}"
        )
        return
    if folder.network or folder.locks is False:
        kind = f"a network disk ({folder.file_system})" if folder.network else "a disk without file locks"
        yield (
            f"the cache folder {folder.path!r} is on {kind}, where waiting for other processes is slow or "
            f"does not work: {elsewhere}"
        )
    if folder.free_bytes is not None and folder.free_bytes < _LITTLE_DISK:
        yield (
            f"the disk of the cache folder {folder.path!r} has {folder.free_bytes / 2**30:.1f} GiB left: "
            f"free some space, or {elsewhere}"
        )


def _threads(found: Diagnosis) -> Iterator[str]:
    threads, processor = found.threads, found.processor
    usable = processor.usable
    if threads.torch > usable:
        yield (
            f"PyTorch uses {threads.torch} threads on {usable} usable processors, and threads that wait for "
            f"each other slow every step: give --threads {usable}, or set OMP_NUM_THREADS={usable}"
        )
    cores = min(usable, processor.physical or usable)
    asked = [name for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in threads.environment]
    if asked and threads.torch < cores:
        yield (
            f"PyTorch uses {threads.torch} of {cores} usable cores, because {asked[0]} is "
            f"{threads.environment[asked[0]]}: unset it, or give --threads {cores}"
        )
    policy = threads.environment.get("OMP_WAIT_POLICY", "PASSIVE")
    if policy.upper() != "PASSIVE":
        yield (
            f"OMP_WAIT_POLICY is {policy}, so threads that wait for work keep processors busy: unset it, and "
            f"attar sets PASSIVE"
        )
    if processor.load is not None and processor.load > usable + 0.5:
        yield (
            f"{processor.load:.1f} processes compete for {usable} usable processors, so seconds measured now "
            f"are too many: wait until the others are done, or give fewer --workers"
        )


def _devices(found: Diagnosis) -> Iterator[str]:
    if found.unused_gpu:
        yield (
            f"there is an NVIDIA driver, but PyTorch {found.versions.get('torch', '')} cannot use it: "
            f"install a PyTorch that is built for the driver's version of CUDA"
        )
    for device in found.devices:
        if not device.float64:
            yield (
                f"{device.name} has no float64, so statistics and solves that need it run on the CPU, and so "
                f"does what {device.name} has no kernel for: compare a few steps with --device cpu"
            )
    processor = found.processor
    if found.system.machine.lower() in ("x86_64", "amd64") and processor.capability == "DEFAULT":
        yield (
            "PyTorch uses no AVX2 here, which makes every step several times slower: use a newer processor, "
            "or unset ATEN_CPU_CAPABILITY if it is set"
        )
    if processor.bf16 and [device.name for device in found.devices if device.auto] == ["cpu"]:
        yield (
            "this processor computes in bfloat16: --precision bf16 can shorten the forward passes of real "
            "data, while backward passes may take longer, so compare a few steps"
        )


def _memory(found: Diagnosis) -> Iterator[str]:
    allocator, system = found.allocator, found.system
    if allocator.preloaded is not None and allocator.tunable:
        yield (
            f"{allocator.preloaded} replaces glibc's allocator, so keeping freed memory in the process is up "
            f"to its own settings: compare the time of a step without it"
        )
    elif allocator.preloaded is None and not allocator.tunable:
        yield (
            f"the allocator of {system.name} cannot be told to keep freed memory, as glibc's on Linux can, "
            f"so steps on the CPU may be slower than they could be: fewer real samples per step cost less"
        )
    if found.memory.available_bytes < _LITTLE_MEMORY:
        yield (
            f"{found.memory.available_bytes / 2**30:.1f} GiB of memory are available, and each worker needs "
            f"some of it: end other programs, or give fewer --workers"
        )


def _extras(found: Diagnosis) -> Iterator[str]:
    for extra in found.extras:
        if extra.version is None:
            yield f"{extra.name} is not installed; 'pip install {extra.name}' adds {extra.brings}"
