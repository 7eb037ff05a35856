"""U2NETP in torch, exported to ONNX: the checkout's class, the checkpoint's weights, output d0 alone.

Runs in the child process only.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import pickle
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saliency_engine.errors import ModelError


class SaliencyOnly(nn.Module):
    """A network's first output, d0: upstream's fused map, already through its sigmoid."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        """``[N, 3, H, W]`` → ``[N, 1, H, W]``."""
        outputs = self.network(frames)
        d0: Tensor = outputs if isinstance(outputs, Tensor) else outputs[0]
        return d0


def export(request: Mapping[str, Any]) -> dict[str, Any]:
    """Write the ONNX file and torch's own maps of the request's frames; returns the answer, see ``sandbox.Exported``.

    Raises ``ModelError`` when the module or the checkpoint is not in order.
    """
    network = build_network(Path(request["module"]), request["module_sha256"])
    state = read_state(Path(request["checkpoint"]), request["checkpoint_sha256"])
    missing, unexpected = load_weights(network, state, strict=request["strict"])
    model = SaliencyOnly(network).eval()
    frames = torch.from_numpy(np.load(request["frames"]))
    with torch.inference_mode():
        maps = torch.cat([model(part) for part in torch.split(frames, request["batch"])])
    np.save(request["maps"], maps.numpy())
    _write_onnx(model, (request["batch"], *frames.shape[1:]), request)
    return {"torch": str(torch.__version__), "missing": missing, "unexpected": unexpected}


def build_network(path: Path, sha256: str) -> nn.Module:
    """``U2NETP(3, 1)``, or ``U2NETP()`` where it takes no arguments, from the module's text.

    The text that is hashed is the text that runs: it is compiled here, and neither a compiled file beside it nor
    another module of the checkout is imported. Raises ``ModelError`` when its hash is not ``sha256`` or it defines no
    such network.
    """
    module = types.ModuleType("u2net")
    exec(compile(_read_hashed(path, sha256), str(path), "exec"), module.__dict__)
    kind = getattr(module, "U2NETP", None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ModelError(f"{path} defines no network U2NETP")
    try:
        inspect.signature(kind).bind(3, 1)
    except TypeError:
        return kind()
    return kind(3, 1)


def read_state(path: Path, sha256: str) -> dict[str, Tensor]:
    """The checkpoint's tensors by name: bare or under ``state_dict``, a ``module.`` prefix dropped.

    Only tensors and plain containers are unpickled. Raises ``ModelError`` for anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(io.BytesIO(_read_hashed(path, sha256)), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is not a plain checkpoint: its pickle holds more than tensors, and was not run "
            f"({str(error).split('Please')[0].strip()[-200:]}); save the state_dict alone"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is not a torch checkpoint: {str(error)[:200]}") from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not loaded or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ModelError(f"{path} holds no state dict, that is tensors by name, neither bare nor under 'state_dict'")
    state = {str(name).removeprefix("module."): value for name, value in loaded.items()}
    if len(state) != len(loaded):
        raise ModelError(f"{path} names the same weights both with and without the prefix 'module.'")
    return state


def load_weights(network: nn.Module, state: Mapping[str, Tensor], *, strict: bool) -> tuple[list[str], list[str]]:
    """Put the tensors into the network; returns the names of weights that are missing and that are left over.

    Raises ``ModelError`` when a shape differs or no name fits, and with ``strict`` when a name is missing or left over.
    """
    wanted = network.state_dict()
    missing, unexpected = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    shapes = sorted(name for name in wanted.keys() & state.keys() if wanted[name].shape != state[name].shape)
    lists = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    problems = "; ".join(
        f"{len(names)} {what} ({', '.join(names[:3])}{', …' * (len(names) > 3)})"
        for what, names in lists.items()
        if names
    )
    if len(missing) == len(wanted) or shapes:
        raise ModelError(f"the checkpoint is not of this network: {problems}")
    if strict and problems:
        raise ModelError(f"the checkpoint does not fit the network: {problems}; --no-strict-load loads what fits")
    network.load_state_dict(dict(state), strict=False)
    return missing, unexpected


def _write_onnx(model: nn.Module, shape: tuple[int, ...], request: Mapping[str, Any]) -> None:
    """Write the network by torch's TorchScript exporter: its other one starts at opset 18 and needs another package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(shape),),
            request["onnx"],
            opset_version=request["opset"],
            input_names=["input"],
            output_names=["saliency_map"],
            dynamo=False,
        )


def _read_hashed(path: Path, sha256: str) -> bytes:
    """A file's bytes. Raises ``ModelError`` when their sha256 is another than the one that was checked."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{path} was changed during the export: run the command again")
    return content
