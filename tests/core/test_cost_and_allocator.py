from __future__ import annotations

import subprocess
import sys

from attar.cost import Cost, Meter, peak_memory


def test_costs_add_up_and_the_peak_is_the_greatest():
    total = Cost(cpu=1, wall=2, peak_bytes=30).plus(Cost(cpu=10, wall=20, peak_bytes=3))
    assert total == Cost(cpu=11, wall=22, peak_bytes=30)


def test_a_meter_measures_on_top_of_what_was_before():
    meter = Meter(Cost(cpu=5, wall=7))
    sum(range(200_000))
    before = peak_memory()
    found = meter.read()
    assert 5 < found.cpu < 6
    assert 7 < found.wall < 10
    assert 2**20 < before <= found.peak_bytes <= peak_memory()


def test_the_allocator_says_whether_it_could_be_told():
    # In a process of its own, since it changes the process that it runs in.
    code = "from attar.allocator import keep_memory; print(keep_memory())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() in ("True", "False")


def test_importing_attar_is_light():
    code = "import attar, attar.registry, sys; print({'torch', 'numpy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
