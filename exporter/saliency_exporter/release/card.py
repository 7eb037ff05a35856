"""The texts beside a released model: the licence with attribution and changes, and the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

AUTHORS = "Xuebin Qin, Zichen Zhang, Chenyang Huang, Masood Dehghan, Osmar R. Zaiane, Martin Jagersand"
PAPER = (
    "U²-Net: Going Deeper with Nested U-Structure for Salient Object Detection, Pattern Recognition 106 (2020), 107404"
)
_REPO = "xuebinqin/U-2-Net"


def compose_license(manifest: dict[str, Any], license_path: Path, notice: Path | None) -> str:
    """What Apache-2.0 §4 asks for, in one file: attribution (c), changes (b), NOTICE (d), the licence itself (a)."""
    upstream, export = manifest["upstream"], manifest["export"]
    parts = [
        f"{manifest['model_id']}.onnx is a derivative work of {_name_work(upstream)}, licensed under the Apache "
        "License, Version 2.0.\nThe full text of the licence is at the end of this file.",
        _compose_attribution(manifest),
        "STATEMENT OF CHANGES (section 4 (b))\n\n"
        "This is not the original work. The following was changed:\n"
        + "".join(f"  - {change}\n" for change in _list_changes(export))
        + "The weights were not trained or tuned further.",
        _compose_notice(notice),
        f"LICENCE (upstream's LICENSE, sha256 {upstream['license_sha256']})",
    ]
    rule = "\n\n" + "-" * 80 + "\n\n"
    return rule.join(parts) + "\n\n" + license_path.read_text(encoding="utf-8", errors="replace").rstrip("\n") + "\n"


def compose_card(manifest: dict[str, Any], size: int, license_name: str) -> str:
    """The model card in Markdown, with the manifest's figures. ``size`` is the model's, in bytes."""
    upstream, export, parity = manifest["upstream"], manifest["export"], manifest["parity"]
    shape = f"{export['height']}, {export['width']}]"
    rows = {
        "File": f"`{manifest['model_id']}.onnx`, {size} bytes, sha256 `{manifest['outputs']['onnx_sha256']}`",
        "Input": f"`{export['input_name']}`, float32 `[{export['batch']}, 3, {shape}`: R'G'B' in [0, 1], "
        "ImageNet-normalised",
        "Output": f"`{export['output_name']}`, float32 `[{export['batch']}, 1, {shape}`: saliency in [0, 1], "
        f"upstream's {export['selected_upstream_output']}",
        "Format": f"ONNX, opset {export['opset']}, no free dimensions",
        **_describe_upstream(upstream),
        "Licence": f"Apache-2.0, see `{license_name}`",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return (
        f"# {manifest['model_id']}\n\n"
        f"{_describe_network(upstream)} It detects salient objects in a picture and gives one map\n"
        "per frame. A frame is resized to the input's size; its aspect ratio is not kept.\n\n"
        f"| | |\n|---|---|\n{table}\n\n"
        "## What was proven\n\n"
        f"{_name_both(parity)} gave the same maps of {parity['frames']} frames. Their "
        f"largest\ndifference is {parity['max_abs_difference']:.2e} (limit {parity['limit']:.0e}), the "
        f"mean difference {parity['mean_abs_difference']:.2e}. The graph passed the ONNX\n"
        "checker and uses only operators that the loaders admit.\n\n"
        "## Limits\n\n"
        f"{_describe_training(upstream)}How\n"
        "much its maps help to measure video quality has not been measured here.\n\n"
        "## Passing it on\n\n"
        f"Keep `{license_name}` beside the model, and state what you change (Apache-2.0, section 4). Check the\n"
        "files that you got:\n\n"
        "    sha256sum --check SHA256SUMS\n"
    )


def _describe_upstream(upstream: dict[str, Any]) -> dict[str, str]:
    """The card's rows about where the model comes from."""
    origin = upstream["repo"] + (f" at `{upstream['commit']}`" if upstream["commit"] else "")
    checkpoint = {_name_checkpoint(upstream): f"sha256 `{upstream['checkpoint_sha256']}`"}
    if not upstream["module_sha256"]:
        return {"Upstream": origin} | checkpoint
    differing = upstream["audit"]["differing"]
    audit = f"these files differ from the audited commit: {', '.join(differing)}" if differing else "all audited"
    return {"Upstream": f"{origin}; {audit}", "Module": f"sha256 `{upstream['module_sha256']}`"} | checkpoint


def _describe_network(upstream: dict[str, Any]) -> str:
    if upstream["module_sha256"]:
        return "U-2-Net's small network U2NETP, converted to ONNX."
    return f"An ONNX file of {_name_work(upstream)}, rewrapped."


def _describe_training(upstream: dict[str, Any]) -> str:
    if not _is_u2net(upstream):
        return ""
    return "Its authors trained it on pictures of salient objects (DUTS-TR), not on video and not on eye tracking. "


def _name_both(parity: dict[str, Any]) -> str:
    """What was compared."""
    if "torch" in parity:
        return f"ONNX Runtime {parity['onnxruntime']} and torch {parity['torch']}"
    return f"The model and upstream's ONNX file, both in ONNX Runtime {parity['onnxruntime']},"


def _compose_attribution(manifest: dict[str, Any]) -> str:
    upstream = manifest["upstream"]
    network = "its small network U2NETP and " if upstream["module_sha256"] else ""
    lines = {"Work": _name_work(upstream), "Source": upstream["repo"], "Commit": upstream["commit"]}
    if _is_u2net(upstream):
        lines["Work"] = f"U-2-Net, {network}the weights trained for it"
        lines = {"Work": lines["Work"], "Authors": AUTHORS, "Publication": PAPER, **lines}
    if upstream["module_sha256"]:
        lines |= {"Module": f"sha256 {upstream['module_sha256']}"}
    lines |= {_name_checkpoint(upstream): f"sha256 {upstream['checkpoint_sha256']}"}
    return "ATTRIBUTION\n\n" + "\n".join(f"  {name + ':':<12} {text}" for name, text in lines.items() if text)


def _list_changes(export: dict[str, Any]) -> list[str]:
    """What a rewrapped model's manifest says, or what the exporter of U2NETP always does."""
    if "changes" in export:
        return list(export["changes"])
    return [
        f"The PyTorch network and its checkpoint were converted to one ONNX file (opset {export['opset']}).",
        f"Only the first of the network's outputs, {export['selected_upstream_output']}, was kept.",
        f"The input and the output were named {export['input_name']} and {export['output_name']}.",
        f"The input's shape was fixed to {export['batch']} x 3 x {export['height']} x {export['width']}.",
        "Metadata with the model's name and origin were added.",
    ]


def _is_u2net(upstream: dict[str, Any]) -> bool:
    return _REPO.lower() in upstream["repo"].lower()


def _name_work(upstream: dict[str, Any]) -> str:
    return "U-2-Net" if _is_u2net(upstream) else f"the model of {upstream['repo']}"


def _name_checkpoint(upstream: dict[str, Any]) -> str:
    return "Checkpoint" if upstream["module_sha256"] else "ONNX file"


def _compose_notice(notice: Path | None) -> str:
    if notice is None:
        return "NOTICE (section 4 (d))\n\nThe upstream checkout holds no NOTICE file."
    text = notice.read_text(encoding="utf-8", errors="replace").strip()
    return f"NOTICE (section 4 (d); upstream's {notice.name})\n\n{text}"
