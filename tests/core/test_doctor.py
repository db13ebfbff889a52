from __future__ import annotations

import os
import re
import socket
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import filelock
import psutil
import pytest
import torch
from attar.doctor import Diagnosis, advise, diagnose, distributions, survey
from attar.doctor.records import (
    Allocator,
    Device,
    Extra,
    FailedPlugin,
    Folder,
    Memory,
    Plugins,
    Processor,
    System,
    Threads,
)
from attar.registry import Entry, Registry

GIB = 2**30
CPU = Device(name="cpu", description="Fast", memory_bytes=64 * GIB, float64=True, auto=True)
CACHE = Folder(
    purpose="cache",
    path="/home/me/.cache/attar",
    exists=True,
    writable=True,
    locks=True,
    free_bytes=100 * GIB,
    file_system="ext4",
    network=False,
)
DATA = CACHE.model_copy(update={"purpose": "data", "path": "/data", "locks": None})
HEALTHY = Diagnosis(
    versions={"python": "3.12.1", "attar-core": "0.1.0", "torch": "2.11.0"},
    system=System(name="Linux", release="6.1", machine="x86_64", libc="glibc 2.36"),
    processor=Processor(
        name="Fast", usable=8, logical=16, physical=8, capability="AVX512", bf16=False, load=0.5
    ),
    devices=[CPU],
    threads=Threads(torch=8, interop=8, environment={"OMP_WAIT_POLICY": "PASSIVE"}),
    allocator=Allocator(tunable=True),
    memory=Memory(total_bytes=64 * GIB, available_bytes=32 * GIB),
    folders=[CACHE, DATA],
    plugins=Plugins(loaded=8, failed=[]),
    extras=[Extra(name="timm", version="1.0", brings="networks by name")],
)


def changed(part, **values):
    """Return a healthy machine with one part changed."""
    return HEALTHY.model_copy(update={part: getattr(HEALTHY, part).model_copy(update=values)})


def with_folder(folder, **values):
    """Return a healthy machine with one folder changed."""
    folders = [each.model_copy(update=values) if each == folder else each for each in HEALTHY.folders]
    return HEALTHY.model_copy(update={"folders": folders})


def test_a_healthy_machine_needs_no_advice():
    assert list(advise(HEALTHY)) == []


FAILED = FailedPlugin(
    group="objectives", name="x", distribution="y", version="1", error="the method 'x' of y 1 failed to load"
)
ILL = [
    (changed("threads", torch=16), "threads", "16 threads on 8 usable processors.*give --threads 8"),
    (
        changed("threads", torch=1, environment={"OMP_NUM_THREADS": "1"}),
        "threads",
        "1 of 8 usable cores, because OMP_NUM_THREADS is 1: unset it",
    ),
    (
        changed("threads", environment={"OMP_WAIT_POLICY": "active"}),
        "threads",
        "OMP_WAIT_POLICY is active.*unset it",
    ),
    (changed("processor", load=9.0), "threads", r"9\.0 processes compete for 8 usable processors"),
    (changed("allocator", tunable=False), "memory", "allocator of Linux cannot be told to keep freed memory"),
    (changed("allocator", preloaded="jemalloc"), "memory", "jemalloc replaces glibc's allocator"),
    (changed("memory", available_bytes=GIB), "memory", r"1\.0 GiB of memory are available.*--workers"),
    (changed("processor", capability="DEFAULT"), "device", "PyTorch uses no AVX2 here"),
    (changed("processor", bf16=True), "device", "--precision bf16 can shorten the forward passes"),
    (
        HEALTHY.model_copy(update={"unused_gpu": True}),
        "device",
        r"NVIDIA driver, but PyTorch 2\.11\.0 cannot",
    ),
    (with_folder(CACHE, writable=False), "disk", "cannot be written.*set ATTAR_CACHE to a folder"),
    (with_folder(CACHE, locks=False), "disk", "is on a disk without file locks.*set ATTAR_CACHE"),
    (with_folder(CACHE, network=True, file_system="nfs4"), "disk", r"is on a network disk \(nfs4\)"),
    (with_folder(CACHE, free_bytes=GIB), "disk", r"'/home/me/\.cache/attar' has 1\.0 GiB left"),
    (
        with_folder(DATA, network=True, file_system="cifs"),
        "disk",
        r"data folder '/data' is on a network disk",
    ),
    (changed("plugins", failed=[FAILED]), "plugin", "the method 'x' of y 1 failed to load"),
    (
        HEALTHY.model_copy(update={"extras": [Extra(name="timm", version=None, brings="networks by name")]}),
        "extra",
        "timm is not installed; 'pip install timm' adds networks by name",
    ),
]


@pytest.mark.parametrize(("found", "about", "sentence"), ILL, ids=[sentence[:30] for _, _, sentence in ILL])
def test_each_thing_that_is_slow_or_broken_is_one_sentence(found, about, sentence):
    (advice,) = advise(found)
    assert advice.about == about
    assert re.search(sentence, advice.sentence)


def test_float64_that_a_device_lacks_is_told():
    apple = Device(name="mps", description="Apple GPU", memory_bytes=GIB, float64=False, auto=True)
    devices = [CPU.model_copy(update={"auto": False}), apple]
    found = changed("processor", bf16=True).model_copy(update={"devices": devices})
    (advice,) = advise(found)
    assert advice.sentence.startswith(
        "mps has no float64, so statistics and solves that need it run on the CPU"
    )


def test_unknown_numbers_give_no_advice():
    found = changed("processor", physical=None, load=None).model_copy(
        update={"folders": [CACHE.model_copy(update={"free_bytes": None})]}
    )
    assert list(advise(found)) == []


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """What is found on this machine, without the network, and with a cache folder not there yet."""
    root = tmp_path_factory.mktemp("doctor")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTAR_CACHE", str(root / "deep" / "cache"))
        patch.setenv("ATTAR_DATA", str(root))
        patch.setattr(socket.socket, "connect", None)
        found = diagnose()
    return root, found


def test_this_machine_is_described(here):
    root, found = here
    assert found.versions["torch"] == torch.__version__.split("+")[0]
    assert {"python", "attar-core", "numpy", "pydantic"} <= found.versions.keys()
    assert found.devices[0].name == "cpu"
    assert sum(device.auto for device in found.devices) == 1
    assert found.memory.total_bytes > found.memory.available_bytes > 0
    assert 1 <= found.processor.usable <= found.processor.logical
    assert found.threads.torch == torch.get_num_threads()
    assert found.plugins.loaded >= 8
    cache, data = found.folders
    assert (cache.purpose, cache.exists, cache.writable) == ("cache", False, True)
    assert (data.purpose, data.path, data.exists) == ("data", str(root), True)
    assert min(cache.free_bytes, data.free_bytes) > 0


def test_nothing_is_left_behind(here):
    assert list(here[0].iterdir()) == []


def test_the_record_survives_json(here):
    assert Diagnosis.model_validate_json(here[1].model_dump_json()) == here[1]


def test_a_plugin_that_fails_to_load_is_told():
    point = EntryPoint(name="broken", value="no_such_module:X", group="attar.objectives")
    entry = Entry(group="objectives", name="broken", distribution="other", version="7", point=point)
    found = survey._plugins(Registry([entry]))
    assert found.loaded == 0
    assert (found.failed[0].name, found.failed[0].distribution) == ("broken", "other")
    assert "failed to load (ModuleNotFoundError" in found.failed[0].error


def test_a_file_in_the_way_of_the_cache_is_not_writable(tmp_path):
    (tmp_path / "cache").write_bytes(b"")
    found = survey._folder("cache", tmp_path / "cache", written=True)
    assert (found.exists, found.writable) == (False, False)


def test_a_disk_that_refuses_is_not_writable(tmp_path, monkeypatch):
    def refuse(**named):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    found = survey._folder("cache", tmp_path, written=True)
    assert (found.writable, found.locks) == (False, False)


@pytest.mark.parametrize("error", [NotImplementedError(), OSError(95, "Operation not supported")])
def test_a_disk_without_locks_is_found(tmp_path, monkeypatch, error):
    def acquire(self, *rest, **named):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    found = survey._folder("cache", tmp_path, written=True)
    assert (found.writable, found.locks) == (True, False)
    assert list(tmp_path.iterdir()) == []


def test_a_weaker_lock_in_place_of_a_real_one_counts_as_none(tmp_path, monkeypatch):
    monkeypatch.setattr(filelock, "FileLock", filelock.SoftFileLock)
    assert survey._folder("cache", tmp_path, written=True).locks is False


@pytest.mark.parametrize(
    ("kind", "options", "network"),
    [("ext4", "rw", False), ("nfs4", "rw", True), ("fuse.sshfs", "rw", True), ("NTFS", "rw,remote", True)],
)
def test_network_disks_are_known_by_their_file_system(tmp_path, monkeypatch, kind, options, network):
    disks = [
        SimpleNamespace(mountpoint="/", fstype="ext4", opts="rw"),
        SimpleNamespace(mountpoint=str(tmp_path), fstype=kind, opts=options),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: disks)
    assert survey._folder("data", tmp_path / "mnist", written=False).network is network


def test_a_list_of_disks_that_cannot_be_read_is_no_error(tmp_path, monkeypatch):
    def refuse(all):
        raise OSError

    monkeypatch.setattr(psutil, "disk_partitions", refuse)
    monkeypatch.setattr("shutil.disk_usage", lambda path: refuse(True))
    found = survey._folder("data", tmp_path, written=False)
    assert (found.file_system, found.network, found.free_bytes) == ("", False, None)


def test_a_share_of_windows_is_a_network_disk(monkeypatch):
    monkeypatch.setattr(survey, "sys", SimpleNamespace(platform="win32"))
    assert survey._file_system(Path(r"\\server\share")) == "smb"


def named(name, version="1"):
    return SimpleNamespace(name=name, version=version)


def test_distributions_of_attar_are_listed_with_the_core_first(monkeypatch):
    found = [named("attar"), named("numpy"), named(None), named("attar_image"), named("Attar.Core", "2")]
    found += [named("attard"), named("attar-mine"), named("attar-core", "2")]
    monkeypatch.setattr(survey, "installed", lambda: found)
    assert list(distributions().items()) == [
        ("attar-core", "2"),
        ("attar", "1"),
        ("attar-image", "1"),
        ("attar-mine", "1"),
    ]


def test_macos_names_its_processor(monkeypatch):
    answers = {"machdep.cpu.brand_string": "Apple M9", "hw.optional.arm.FEAT_BF16": "1"}
    monkeypatch.setattr(survey, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(survey, "_sysctl", answers.get)
    monkeypatch.setattr("attar.devices.processor_lines", dict)
    found = survey._processor()
    assert (found.name, found.bf16) == ("Apple M9", True)


def test_a_question_to_macos_that_fails_is_no_error(monkeypatch):
    def refuse(*command, **named):
        raise FileNotFoundError

    monkeypatch.setattr("subprocess.run", refuse)
    assert survey._sysctl("machdep.cpu.brand_string") == ""


def test_macos_is_called_by_its_own_version(monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.mac_ver", lambda: ("15.2", ("", "", ""), "arm64"))
    assert (survey._system().name, survey._system().release) == ("macOS", "15.2")


def test_windows_names_its_processor_and_has_no_load(monkeypatch):
    monkeypatch.setattr(survey, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr("platform.processor", lambda: "Intel64 Family 6")
    monkeypatch.setattr("attar.devices.processor_lines", dict)
    monkeypatch.delattr(os, "getloadavg", raising=False)
    found = survey._processor()
    assert (found.name, found.load, found.bf16) == ("Intel64 Family 6", None, False)


@pytest.mark.parametrize(
    ("text", "name", "bf16"),
    [
        ("model name\t: Fast 9\nflags\t\t: fpu avx512_bf16\n\nmodel name\t: other\n", "Fast 9", True),
        ("model name : Slow 1\nflags : fpu avx2\n", "Slow 1", False),
        ("processor : 0\nFeatures : fp asimd bf16\n", "aarch64", True),
    ],
)
def test_linux_describes_its_processor(monkeypatch, text, name, bf16):
    monkeypatch.setattr(survey, "sys", SimpleNamespace(platform="linux"))
    monkeypatch.setattr(Path, "read_text", lambda self, *rest, **named: text)
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    found = survey._processor()
    assert (found.name, found.bf16) == (name, bf16)


@pytest.fixture
def card(monkeypatch):
    """A machine with two GPUs, as far as PyTorch says."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    properties = SimpleNamespace(name="Big", total_memory=GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)


def test_gpus_are_listed_and_the_first_is_taken(card):
    found = survey._devices(HEALTHY.processor, HEALTHY.memory)
    assert [(device.name, device.auto) for device in found] == [
        ("cpu", False),
        ("cuda:0", True),
        ("cuda:1", False),
    ]


def test_the_gpu_of_apple_is_listed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    found = survey._devices(HEALTHY.processor, HEALTHY.memory)
    assert [(device.name, device.auto, device.float64) for device in found] == [
        ("cpu", False, True),
        ("mps", True, False),
    ]
