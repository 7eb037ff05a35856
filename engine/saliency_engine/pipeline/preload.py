"""What the fork server loads once for all workers. Only it imports this module, which acts when it is imported."""

from __future__ import annotations

import gc


def _load() -> None:
    # What libraries make while they are loaded stays. To look for garbage in it took a tenth of the time, and where
    # workers looked, that copied memory which they share.
    gc.disable()
    from saliency_engine.numerics.kernels import load_numba  # noqa: PLC0415
    from saliency_engine.pipeline import worker  # noqa: F401, PLC0415
    from saliency_engine.video import decode, probe  # noqa: F401, PLC0415

    load_numba()
    gc.freeze()
    gc.enable()


_load()
