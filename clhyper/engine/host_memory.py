"""Memory of the host that is freed stays with the process, so that the next training step finds it there."""

import ctypes
import functools
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_LARGEST = 2**31 - 1


@functools.cache
def keep_freed_memory() -> bool:
    """Has the C library keep freed memory for the rest of the process; whether it does.

    By default glibc gives large tensors back to the system and asks for them again in every step, and the system fills
    each page with zeros anew: a third of a CPU step. Other C libraries are left as they are, and so is one that was
    told otherwise by environment variables.
    """
    if any(name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")):
        return False
    try:
        library = ctypes.CDLL("libc.so.6")
        return bool(library.mallopt(_MMAP_THRESHOLD, 2**30) and library.mallopt(_TRIM_THRESHOLD, _LARGEST))
    except (OSError, AttributeError):  # no glibc
        return False
