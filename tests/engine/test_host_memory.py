"""Memory that is freed is there again when it is next asked for."""

import os
import platform
import subprocess
import sys

import pytest

from clhyper.engine import host_memory

SIZE = 64 * 2**20
SCRIPT = f"""
import importlib.util, resource
spec = importlib.util.spec_from_file_location("host_memory", {host_memory.__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

def pages_of_ten():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        b"x" * {SIZE}
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = pages_of_ten()
kept = module.keep_freed_memory()
pages_of_ten()
print(kept, before, pages_of_ten())
"""


def outcome(**variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**environment, **variables}, capture_output=True, text=True, check=True
    )
    kept, before, after = done.stdout.split()
    return kept == "True", int(before), int(after)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_blocks_are_taken_from_the_system_once():
    kept, before, after = outcome()
    assert kept
    assert after < before / 5


def test_what_the_environment_says_of_memory_stays():
    kept, _, _ = outcome(MALLOC_TRIM_THRESHOLD_="131072")
    assert not kept
