from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest
import torch

from semicl_monai.utils import keep_freed_memory

MIB = 2**20
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")


def faults_of_a_second_tensor(size):
    """Return the number of pages that a tensor needs from the system after one of the same size was freed."""
    torch.ones(size // 4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(size // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@glibc
def test_a_freed_tensor_of_64_mib_leaves_its_memory_to_the_next_one():
    program = "; ".join(
        [
            "from semicl_monai.utils import keep_freed_memory",
            "from tests.utils.test_freed_memory import faults_of_a_second_tensor as faults",
            f"before = faults({64 * MIB})",
            # the heap may grow once: a small object can take the beginning of the first freed block
            f"print(before, keep_freed_memory(), *[faults({64 * MIB}) for _ in range(6)][1:])",
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, kept, *after = done.stdout.split()
    assert kept == "True"
    assert int(before) > 1000
    assert max(map(int, after)) < 100


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_"])
def test_the_users_own_settings_are_kept(monkeypatch, name):
    monkeypatch.setenv(name, "65536")
    assert not keep_freed_memory()


def test_another_system_stays_unchanged(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
