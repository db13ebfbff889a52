"""What ``attar doctor --json`` prints."""

from __future__ import annotations

from attar.settings import Record

__all__ = [
    "Advice",
    "Allocator",
    "Device",
    "Diagnosis",
    "Extra",
    "FailedPlugin",
    "Folder",
    "Memory",
    "Plugins",
    "Processor",
    "System",
    "Threads",
]


class System(Record):
    """The operating system.

    Attributes:
        name: ``Linux``, ``macOS`` or ``Windows``.
        release: Its version.
        machine: The kind of processor, such as ``x86_64``.
        libc: The C library and its version, on Linux.
    """

    name: str
    release: str
    machine: str
    libc: str = ""


class Processor(Record):
    """The processor.

    Attributes:
        name: What it calls itself.
        usable: Processors that this process may use, which a container may limit.
        logical: Processors that the system sees.
        physical: Cores, or None if that is not known.
        capability: What PyTorch's kernels use of it, such as ``AVX2``.
        bf16: Whether it computes in bfloat16 natively.
        load: Processes that were running or waiting on average over the last minute, or None.
    """

    name: str
    usable: int
    logical: int
    physical: int | None
    capability: str
    bf16: bool
    load: float | None = None


class Device(Record):
    """Something to compute on.

    Attributes:
        name: What ``--device`` calls it.
        description: What it is.
        memory_bytes: Its memory.
        float64: Whether it computes in float64.
        auto: Whether ``--device auto`` takes it.
    """

    name: str
    description: str
    memory_bytes: int
    float64: bool
    auto: bool


class Threads(Record):
    """Threads of a process.

    Attributes:
        torch: Threads that an operation of PyTorch uses.
        interop: Operations of PyTorch that may run side by side.
        environment: What environment variables say about threads.
    """

    torch: int
    interop: int
    environment: dict[str, str]


class Allocator(Record):
    """What hands out memory.

    Attributes:
        tunable: Whether it can be told to keep freed memory in the process.
        preloaded: The allocator that replaces the system's, if there is one.
    """

    tunable: bool
    preloaded: str | None = None


class Memory(Record):
    """The memory of the machine."""

    total_bytes: int
    available_bytes: int


class Folder(Record):
    """A folder that Attar uses.

    Attributes:
        purpose: ``cache`` or ``data``.
        path: Where it is.
        exists: Whether it is there; if not, the rest is said of the first folder above it.
        writable: Whether files can be written.
        locks: Whether files can be locked, or None if that was not tried.
        free_bytes: Room on its disk, or None if that is not known.
        file_system: Type of its file system, or "".
        network: Whether its disk belongs to another machine.
    """

    purpose: str
    path: str
    exists: bool
    writable: bool
    locks: bool | None
    free_bytes: int | None
    file_system: str
    network: bool


class FailedPlugin(Record):
    """A plugin that does not work, and why."""

    group: str
    name: str
    distribution: str
    version: str
    error: str


class Plugins(Record):
    """How many plugins work, and those that do not."""

    loaded: int
    failed: list[FailedPlugin]


class Extra(Record):
    """A distribution that is not needed and adds something.

    Attributes:
        name: What to install.
        version: The version installed, or None.
        brings: What it adds.
    """

    name: str
    version: str | None
    brings: str


class Advice(Record):
    """One thing that is slow or broken.

    Attributes:
        about: What it is about: threads, memory, disk, device, plugin or extra.
        sentence: What it is, why, and what helps.
    """

    about: str
    sentence: str


class Diagnosis(Record):
    """What ``attar doctor --json`` prints.

    Attributes:
        versions: Versions of Python, of Attar's distributions, and of what those ask for.
        system: The operating system.
        processor: The processor.
        devices: What can be computed on.
        unused_gpu: Whether the machine has an NVIDIA driver that this PyTorch does not use.
        threads: Threads of a process.
        allocator: What hands out memory.
        memory: The memory of the machine.
        folders: The folders of caches and of data sets.
        plugins: What is installed into the seams.
        extras: What could be installed besides.
        advice: What is slow or broken, why, and what helps.
    """

    versions: dict[str, str]
    system: System
    processor: Processor
    devices: list[Device]
    unused_gpu: bool = False
    threads: Threads
    allocator: Allocator
    memory: Memory
    folders: list[Folder]
    plugins: Plugins
    extras: list[Extra]
    advice: list[Advice] = []
