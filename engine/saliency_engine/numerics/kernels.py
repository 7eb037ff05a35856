"""The one way numba kernels are compiled here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

KernelT = TypeVar("KernelT", bound=Callable[..., Any])

# Sums may be reordered so that they vectorise (statistics of 8 maps: 2.1× faster than in strict order). NaN and
# infinity keep their meaning, because the checks for poisoned maps rely on them.
_FASTMATH = {"reassoc", "contract", "nsz"}


def kernel(function: KernelT) -> KernelT:
    """Compile ``function`` with numba, without the GIL and with a cache on disk.

    Where neither the package's folder nor the user's cache folder can be written (read-only installs, no HOME), numba
    refuses to cache; there the kernel is compiled in memory, once per process.
    """
    try:
        return cast(KernelT, njit(cache=True, nogil=True, fastmath=_FASTMATH)(function))
    except RuntimeError:
        return cast(KernelT, njit(nogil=True, fastmath=_FASTMATH)(function))


@kernel
def _nothing() -> None:
    return None


def cache_folder() -> str | None:
    """The folder of compiled kernels; ``None`` where none can be written."""
    return getattr(cast(Any, _nothing).stats, "cache_path", None)


def load_numba() -> None:
    """Load what numba needs for its first kernel (0.2 s) in a process that is ours alone: it keeps numba from SciPy.

    numba would load SciPy (0.15 s) for matrix products, which no kernel here has, and afterwards does without.
    """
    hidden = "scipy.linalg" not in sys.modules
    if hidden:
        sys.modules["scipy.linalg"] = cast(Any, None)
    try:
        _nothing()
    finally:
        if hidden:
            del sys.modules["scipy.linalg"]
