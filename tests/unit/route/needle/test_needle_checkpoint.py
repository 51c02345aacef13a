"""Reading weights: the three layouts hold the same numbers, and a hostile or damaged file does nothing but complain."""

import os
import pickle

import numpy as np
import pytest
from needle_parts import SMALL, as_hugging_face, nested, tokenizer_model, write_pickle, write_safetensors

from voice_needle.errors import ModelCorrupt, ModelMissing
from voice_needle.route.needle.checkpoint import generated, load_checkpoint
from voice_needle.route.needle.decoder import load_model
from voice_needle.route.needle.tokenizer import Tokenizer

TENSORS = generated(SMALL, seed=1).tensors


def test_a_pickle_of_half_floats(tmp_path):
    write_pickle(tmp_path / "needle.pkl", TENSORS)
    found = load_checkpoint(tmp_path / "needle.pkl")
    assert found.shape == SMALL
    assert set(found.tensors) == set(TENSORS)
    for name, value in TENSORS.items():
        np.testing.assert_array_equal(found.tensors[name], value.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_is_read(tmp_path, protocol):
    (tmp_path / "needle.pkl").write_bytes(pickle.dumps({"params": nested(TENSORS), "config": {}}, protocol=protocol))
    found = load_checkpoint(tmp_path / "needle.pkl")
    np.testing.assert_array_equal(found.tensors["embedding/embedding"], TENSORS["embedding/embedding"])


def test_hugging_faces_layout_is_the_same_model(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", as_hugging_face(TENSORS, SMALL))
    found = load_checkpoint(tmp_path / "model.safetensors")
    for name, value in found.tensors.items():
        np.testing.assert_array_equal(value, TENSORS[name], err_msg=name)
    assert set(TENSORS) - set(found.tensors) == {
        "contrastive_hidden/kernel",
        "contrastive_hidden/bias",
        "contrastive_proj/kernel",
        "log_temp",
    }


def test_the_released_file_has_228_tensors_under_hugging_faces_names():
    from voice_needle.route.needle.checkpoint import Shape

    empty = {name: np.zeros(size, np.int8) for name, size in Shape().tensors().items()}
    assert len(as_hugging_face(empty, Shape())) == 228


def test_bfloat16_is_read(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", TENSORS, dtype="BF16")
    found = load_checkpoint(tmp_path / "model.safetensors")
    np.testing.assert_allclose(found.tensors["embedding/embedding"], TENSORS["embedding/embedding"], rtol=2**-7)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_pickle_that_would_run_something_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "needle.pkl").write_bytes(pickle.dumps({"params": {"a": Bomb()}, "config": {}}))
    with pytest.raises(ModelCorrupt, match=r"(posix|nt)\.mkdir"):
        load_checkpoint(tmp_path / "needle.pkl")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("cut", [0, 1, 10, 1000, -1])
@pytest.mark.parametrize("name", ["needle.pkl", "model.safetensors"])
def test_a_file_cut_short_is_reported(tmp_path, name, cut):
    path = tmp_path / name
    (write_pickle if name.endswith("pkl") else write_safetensors)(path, TENSORS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ModelCorrupt) as caught:
        load_checkpoint(path)
    assert "needle_checkpoint" in caught.value.fix


def test_another_model_is_reported(tmp_path):
    path = tmp_path / "needle.pkl"
    write_pickle(path, {**TENSORS, "encoder/layers/EncoderBlock_0/mlp/kernel": np.zeros((3, 2, 2))})
    with pytest.raises(ModelCorrupt, match="unknown tensor"):
        load_checkpoint(path)
    write_pickle(path, {**TENSORS, "embedding/embedding": TENSORS["embedding/embedding"][:, :32]})
    with pytest.raises(ModelCorrupt):
        load_checkpoint(path)
    write_pickle(path, TENSORS, format_version=2)
    with pytest.raises(ModelCorrupt, match="later generation"):
        load_checkpoint(path)
    write_pickle(path, {**TENSORS, "decoder/ZCRMSNorm_0/scale": np.full(SMALL.width, np.nan)})
    with pytest.raises(ModelCorrupt, match="finite"):
        load_checkpoint(path)


def test_no_file_is_reported(tmp_path):
    with pytest.raises(ModelMissing) as caught:
        load_checkpoint(tmp_path / "needle.pkl")
    assert "needle.pkl" in str(caught.value)


def test_the_conversion_is_kept_and_mended(tmp_path):
    write_pickle(tmp_path / "needle.pkl", TENSORS)
    first = load_model(tmp_path / "needle.pkl", cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache" / "needle").iterdir()
    before = (kept / "decoder.onnx").stat().st_mtime_ns
    load_model(tmp_path / "needle.pkl", cache=tmp_path / "cache")
    assert (kept / "decoder.onnx").stat().st_mtime_ns == before
    (kept / "decoder.onnx").write_bytes(b"damaged")
    mended = load_model(tmp_path / "needle.pkl", cache=tmp_path / "cache")
    rows = [model.logits([1, 4], model.encode([7, 8, 9]), model.fresh()) for model in (first, mended)]
    np.testing.assert_array_equal(*rows)
    assert (kept / "decoder.onnx").stat().st_size > 1000


def test_a_full_disk_does_no_harm(tmp_path):
    write_pickle(tmp_path / "needle.pkl", TENSORS)
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert load_model(tmp_path / "needle.pkl", cache=tmp_path / "cache").encode([7, 8]).encoded.shape == (
        2,
        SMALL.width,
    )


@pytest.mark.parametrize("data", [b"", b"\x0a\xff", b"hello", tokenizer_model()[:5000]])
def test_a_damaged_tokenizer_is_reported(tmp_path, data):
    with pytest.raises(ModelCorrupt):
        Tokenizer(data + b"\x0a")
