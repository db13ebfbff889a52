"""Looking at this machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.metadata import distributions as installed
from pathlib import Path

from attar.allocator import preloaded_allocator, tunable
from attar.doctor.advice import advise
from attar.doctor.records import (
    Allocator,
    Device,
    Diagnosis,
    Extra,
    FailedPlugin,
    Folder,
    Memory,
    Plugins,
    Processor,
    System,
    Threads,
)
from attar.errors import PluginError
from attar.registry import Registry

__all__ = ["diagnose", "distributions"]

_EXTRAS = {
    "attar-image": "images: public data sets, folders of your own, networks and augmentation",
    "datasets": "Artifact.to_hf() and data sets of the Hugging Face hub on disk",
    "huggingface-hub": "attar.load('hf://user/name') and attar push",
    "mlflow": "--log mlflow",
    "pyarrow": "images and sets in Parquet files",
    "tensorboard": "--log tensorboard",
    "timm": "networks by name: --model timm:NAME",
    "wandb": "--log wandb",
}
"""What adds something where it is installed."""

_THREAD_VARIABLES = (
    "GOMP_CPU_AFFINITY",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
)

_NETWORK_DISKS = frozenset(
    "9p afpfs afs beegfs ceph cifs fuse.ceph fuse.gcsfuse fuse.glusterfs fuse.juicefs fuse.mount-s3 "
    "fuse.rclone fuse.s3fs fuse.sshfs glusterfs gpfs lustre nfs nfs3 nfs4 panfs smb smb2 smb3 smbfs "
    "webdav".split()
)
_BF16_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}


def distributions() -> dict[str, str]:
    """Return every installed distribution of Attar and its version, ``attar-core`` first.

    These are ``attar`` and whatever is named ``attar-…``, first-party or not.
    """
    found = {_canonical(each.name): each.version for each in installed() if _ours(each)}
    return dict(sorted(found.items(), key=lambda item: (item[0] != "attar-core", item[0])))


def _ours(each: Distribution) -> bool:
    # A folder that a failed installation left behind has no name.
    name = _canonical(each.name or "")
    return name == "attar" or name.startswith("attar-")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _version(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def _versions() -> dict[str, str]:
    """Return the versions of Python, of Attar and of what Attar's distributions ask for."""
    own = distributions()
    found = {"python": platform.python_version(), **own}
    wanted: set[str] = set()
    for name in own:
        for requirement in distribution(name).requires or ():
            if "extra ==" not in requirement:
                wanted.add(_canonical(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]))
    for name in sorted(wanted - found.keys()):
        number = _version(name)
        if number is not None:
            found[name] = number
    return found


def _system() -> System:
    name = platform.system() or sys.platform
    release = platform.release()
    if name == "Darwin":
        name, release = "macOS", platform.mac_ver()[0] or release
    libc = " ".join(platform.libc_ver()) if name == "Linux" else ""
    return System(name=name, release=release, machine=platform.machine(), libc=libc.strip())


def _sysctl(name: str) -> str:
    """Return what macOS says of itself, or an empty text."""
    try:
        asked = subprocess.run(
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=2, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()


def _processor() -> Processor:
    import psutil
    import torch
    from joblib import cpu_count

    from attar.devices import processor_lines

    lines = processor_lines()
    name = lines.get("model name") or lines.get("cpu model", "")
    flags = set((lines.get("flags") or lines.get("features", "")).split())
    bf16 = bool(flags & _BF16_FLAGS)
    if sys.platform == "darwin":
        name, bf16 = _sysctl("machdep.cpu.brand_string"), _sysctl("hw.optional.arm.FEAT_BF16") == "1"
    try:
        load: float | None = os.getloadavg()[0]
    except (AttributeError, OSError):
        load = None  # Windows has none.
    return Processor(
        name=name or platform.processor() or platform.machine(),
        usable=max(1, int(cpu_count())),
        logical=psutil.cpu_count() or 1,
        physical=psutil.cpu_count(logical=False),
        capability=torch.backends.cpu.get_cpu_capability(),
        bf16=bf16,
        load=None if load is None else round(load, 2),
    )


def _devices(processor: Processor, memory: Memory) -> list[Device]:
    import torch

    from attar.devices import default_device, has_float64

    chosen = default_device().replace("cuda", "cuda:0")
    found = [("cpu", processor.name, memory.total_bytes)]
    with warnings.catch_warnings():
        # An old driver warns here, and advice says so in its own words.
        warnings.simplefilter("ignore")
        for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
            card = torch.cuda.get_device_properties(index)
            found.append((f"cuda:{index}", card.name, card.total_memory))
    if torch.backends.mps.is_available():
        # Apple's GPUs share the memory of the machine.
        found.append(("mps", "Apple GPU", memory.total_bytes))
    return [
        Device(
            name=name,
            description=description,
            memory_bytes=size,
            float64=has_float64(torch.device(name)),
            auto=name == chosen,
        )
        for name, description, size in found
    ]


def _threads() -> Threads:
    import torch

    return Threads(
        torch=torch.get_num_threads(),
        interop=torch.get_num_interop_threads(),
        environment={name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
    )


def _memory() -> Memory:
    import psutil

    found = psutil.virtual_memory()
    return Memory(total_bytes=int(found.total), available_bytes=int(found.available))


def _nearest(path: Path) -> Path:
    """Return the folder, or the first one above it that exists."""
    path = path.absolute()
    return next((each for each in (path, *path.parents) if each.is_dir()), Path(path.anchor))


def _file_system(path: Path) -> str:
    """Return the type of the file system that a folder lies on, or an empty text."""
    import psutil

    if sys.platform == "win32" and str(path).startswith("\\\\"):
        return "smb"  # A share without a drive letter is in no list of disks.
    path = path.resolve()
    try:
        disks = [(Path(disk.mountpoint), disk) for disk in psutil.disk_partitions(all=True)]
    except (OSError, RuntimeError):
        return ""
    above = [(len(mount.parts), disk) for mount, disk in disks if path.is_relative_to(mount)]
    if not above:
        return ""
    disk = max(above, key=lambda item: item[0])[1]
    return "smb" if "remote" in disk.opts.split(",") else str(disk.fstype)


def _try(folder: Path) -> tuple[bool, bool]:
    """Return whether a file can be written in a folder, and locked; leave nothing behind."""
    from filelock import FileLock, SoftFileLock

    try:
        with tempfile.TemporaryDirectory(
            prefix=".attar-doctor-", dir=folder, ignore_cleanup_errors=True
        ) as place:
            (Path(place) / "file").write_bytes(b"1")
            lock = FileLock(str(Path(place) / "lock"), timeout=0)
            with warnings.catch_warnings():
                # Newer versions take a weaker kind of lock then, and warn.
                warnings.simplefilter("ignore")
                try:
                    with lock:
                        return True, not isinstance(lock, SoftFileLock)
                except (NotImplementedError, OSError):
                    return True, False
    except OSError:
        return False, False


def _folder(purpose: str, path: Path, *, written: bool) -> Folder:
    """Return what is known of a folder, trying it out where it is one that Attar writes."""
    nearest = _nearest(path)
    writable: bool
    locks: bool | None
    writable, locks = _try(nearest) if written else (os.access(nearest, os.W_OK), None)
    try:
        free: int | None = shutil.disk_usage(nearest).free
    except OSError:
        free = None
    kind = _file_system(nearest)
    return Folder(
        purpose=purpose,
        path=str(path),
        exists=path.is_dir(),
        # A file may stand in the way of the folder.
        writable=writable and (path.is_dir() or not path.exists()),
        locks=locks,
        free_bytes=free,
        file_system=kind,
        network=kind.lower() in _NETWORK_DISKS,
    )


def _folders() -> list[Folder]:
    from attar.api import data_root
    from attar.cache import cache_root

    return [_folder("cache", cache_root(), written=True), _folder("data", data_root(), written=False)]


def _plugins(registry: Registry) -> Plugins:
    failed = []
    entries = registry.entries()
    for entry in entries:
        try:
            registry.get(entry.group, entry.name)
        except PluginError as error:
            failed.append(
                FailedPlugin(
                    group=entry.group,
                    name=entry.name,
                    distribution=entry.distribution,
                    version=entry.version,
                    error=str(error),
                )
            )
    return Plugins(loaded=len(entries) - len(failed), failed=failed)


def _extras(known: Mapping[str, str]) -> list[Extra]:
    return [Extra(name=name, version=_version(name), brings=brings) for name, brings in known.items()]


def diagnose(registry: Registry | None = None) -> Diagnosis:
    """Return what this machine has, and advice on what is slow or broken here.

    Args:
        registry: The plugins known; by default all that are installed.
    """
    processor, memory = _processor(), _memory()
    found = Diagnosis(
        versions=_versions(),
        system=_system(),
        processor=processor,
        devices=_devices(processor, memory),
        threads=_threads(),
        allocator=Allocator(tunable=tunable(), preloaded=preloaded_allocator()),
        memory=memory,
        folders=_folders(),
        plugins=_plugins(registry or Registry()),
        extras=_extras(_EXTRAS),
        unused_gpu=shutil.which("nvidia-smi") is not None and not _sees_cuda(),
    )
    return found.model_copy(update={"advice": list(advise(found))})


def _sees_cuda() -> bool:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(torch.cuda.is_available())
