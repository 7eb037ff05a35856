"""The texts beside a released model: the licence with attribution and changes, and the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

AUTHORS = "Xuebin Qin, Zichen Zhang, Chenyang Huang, Masood Dehghan, Osmar R. Zaiane, Martin Jagersand"
PAPER = (
    "U²-Net: Going Deeper with Nested U-Structure for Salient Object Detection, Pattern Recognition 106 (2020), 107404"
)


def compose_license(manifest: dict[str, Any], license_path: Path, notice: Path | None) -> str:
    """What Apache-2.0 §4 asks for, in one file: attribution (c), changes (b), NOTICE (d), the licence itself (a)."""
    upstream, export = manifest["upstream"], manifest["export"]
    shape = f"{export['batch']} x 3 x {export['height']} x {export['width']}"
    parts = [
        f"{manifest['model_id']}.onnx is a derivative work of U-2-Net, licensed under the Apache License, "
        "Version 2.0.\nThe full text of the licence is at the end of this file.",
        "ATTRIBUTION\n\n"
        f"  Work:        U-2-Net, its small network U2NETP and the weights trained for it\n"
        f"  Authors:     {AUTHORS}\n"
        f"  Publication: {PAPER}\n"
        f"  Source:      {upstream['repo']}\n"
        f"  Commit:      {upstream['commit']}\n"
        f"  Module:      sha256 {upstream['module_sha256']}\n"
        f"  Checkpoint:  sha256 {upstream['checkpoint_sha256']}",
        "STATEMENT OF CHANGES (section 4 (b))\n\n"
        "This is not the original work. The following was changed:\n"
        f"  - The PyTorch network and its checkpoint were converted to one ONNX file (opset {export['opset']}).\n"
        f"  - Only the first of the network's outputs, {export['selected_upstream_output']}, was kept.\n"
        f"  - The input and the output were named {export['input_name']} and {export['output_name']}.\n"
        f"  - The input's shape was fixed to {shape}.\n"
        "  - Metadata with the model's name and origin were added.\n"
        "The weights were not trained or tuned further.",
        _compose_notice(notice),
        f"LICENCE (upstream's LICENSE, sha256 {upstream['license_sha256']})",
    ]
    rule = "\n\n" + "-" * 80 + "\n\n"
    return rule.join(parts) + "\n\n" + license_path.read_text(encoding="utf-8", errors="replace").rstrip("\n") + "\n"


def compose_card(manifest: dict[str, Any], size: int, license_name: str) -> str:
    """The model card in Markdown, with the manifest's figures. ``size`` is the model's, in bytes."""
    upstream, export, parity = manifest["upstream"], manifest["export"], manifest["parity"]
    differing = upstream["audit"]["differing"]
    audit = f"these files differ from the audited commit: {', '.join(differing)}" if differing else "all audited"
    shape = f"{export['height']}, {export['width']}]"
    rows = {
        "File": f"`{manifest['model_id']}.onnx`, {size} bytes, sha256 `{manifest['outputs']['onnx_sha256']}`",
        "Input": f"`{export['input_name']}`, float32 `[{export['batch']}, 3, {shape}`: R'G'B' in [0, 1], "
        "ImageNet-normalised",
        "Output": f"`{export['output_name']}`, float32 `[{export['batch']}, 1, {shape}`: saliency in [0, 1], "
        f"upstream's {export['selected_upstream_output']}",
        "Format": f"ONNX, opset {export['opset']}, no free dimensions",
        "Upstream": f"{upstream['repo']} at `{upstream['commit']}`; {audit}",
        "Module": f"sha256 `{upstream['module_sha256']}`",
        "Checkpoint": f"sha256 `{upstream['checkpoint_sha256']}`",
        "Licence": f"Apache-2.0, see `{license_name}`",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return (
        f"# {manifest['model_id']}\n\n"
        "U-2-Net's small network U2NETP, converted to ONNX. It detects salient objects in a picture and gives one map\n"
        "per frame. A frame is resized to the input's size; its aspect ratio is not kept.\n\n"
        f"| | |\n|---|---|\n{table}\n\n"
        "## What was proven\n\n"
        f"ONNX Runtime {parity['onnxruntime']} and torch {parity['torch']} gave the same maps of {parity['frames']} "
        f"frames. Their largest\ndifference is {parity['max_abs_difference']:.2e} (limit {parity['limit']:.0e}), the "
        f"mean difference {parity['mean_abs_difference']:.2e}. The graph passed the ONNX\n"
        "checker and uses only operators that the loaders admit.\n\n"
        "## Limits\n\n"
        "Its authors trained it on pictures of salient objects (DUTS-TR), not on video and not on eye tracking. How\n"
        "much its maps help to measure video quality has not been measured here.\n\n"
        "## Passing it on\n\n"
        f"Keep `{license_name}` beside the model, and state what you change (Apache-2.0, section 4). Check the\n"
        "files that you got:\n\n"
        "    sha256sum --check SHA256SUMS\n"
    )


def _compose_notice(notice: Path | None) -> str:
    if notice is None:
        return "NOTICE (section 4 (d))\n\nThe upstream checkout holds no NOTICE file."
    text = notice.read_text(encoding="utf-8", errors="replace").strip()
    return f"NOTICE (section 4 (d); upstream's {notice.name})\n\n{text}"
