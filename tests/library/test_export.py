"""ONNX models give what torch gives, for any number of images, without a word on the way."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import vaedis as vd

MLP = vd.RunSpec(
    data_options={"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1},
    model="mlp",
    model_options={"hidden": [8]},
    loss="bce",
    latents=2,
    steps=2,
    batch=4,
)
CONV = vd.RunSpec(data_options={"num_squares": 1}, latents=2, steps=1, batch=2)


def outputs(path, **inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def sizes(path):
    """Return the names and sizes of what goes in and comes out."""
    graph = onnx.load(path).graph
    return {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }


@pytest.mark.parametrize("spec", [MLP, CONV], ids=["mlp", "conv"])
def test_encoder_and_decoder_give_what_torch_gives(spec, tmp_path, capfd):
    run = vd.fit(spec, device="cpu", precision="float32")
    run.export_onnx(tmp_path / "made")
    assert capfd.readouterr() == ("", "")
    assert not run.model.training
    folder = tmp_path / "made"
    assert sorted(path.name for path in folder.iterdir()) == ["decoder.onnx", "encoder.onnx"]
    height, width, channels = run.data.shape
    assert sizes(folder / "encoder.onnx") == {
        "x": ["n", channels, height, width],
        "mean": ["n", 2],
        "logvar": ["n", 2],
    }
    assert sizes(folder / "decoder.onnx") == {"z": ["n", 2], "x": ["n", channels, height, width]}
    for n in (1, 5):
        x = run.observations(range(n))
        for ours, theirs in zip(
            outputs(folder / "encoder.onnx", x=x.numpy()), run.posterior(range(n)), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
        z = torch.randn(n, 2, generator=torch.Generator().manual_seed(n))
        (decoded,) = outputs(folder / "decoder.onnx", z=z.numpy())
        np.testing.assert_allclose(decoded, run.decode(z), rtol=0, atol=1e-5)


def test_a_file_is_no_folder_and_what_is_missing_is_named(tmp_path, monkeypatch):
    run = vd.fit(MLP, device="cpu")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="file"):
        run.export_onnx(tmp_path / "file")
    for name in ("onnxscript", "onnx"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(
            ImportError, match=rf"To write ONNX files, install {name}: pip install 'vaedis\[onnx\]'"
        ):
            run.export_onnx(tmp_path)


def test_where_one_half_cannot_be_written_neither_is_and_a_sentence_names_it(tmp_path):
    run = vd.fit(MLP, device="cpu")
    run.export_onnx(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = vd.fit(MLP.replace(seed=1), device="cpu")
    for name in ("decode", "encode"):
        method = getattr(other.model, name)

        def branching(x, method=method):
            return method(x if float(x.sum()) > 0 else x * 0.5)

        setattr(other.model, name, branching)
        with pytest.raises(ValueError, match=rf"^the {name}r cannot be written .*") as error:
            other.export_onnx(tmp_path)
        assert "\n" not in str(error.value)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        delattr(other.model, name)
