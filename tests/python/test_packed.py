"""The file that `tern export --to packed` writes, read as docs/packed_format.md says, against the Hugging Face export."""
import json
import re

import numpy as np
import pytest
from conftest import REPOSITORY
from safetensors import safe_open
from safetensors.numpy import load_file

V, D, H, L = 320, 24, 40, 2  # no multiples of a tile


def reader():
    """The class of the page."""
    page = (REPOSITORY / "docs/packed_format.md").read_text()
    room = {}
    exec(re.search(r"```python\n(.*?)```", page, re.S).group(1), room)
    return room["Packed"]


@pytest.fixture(scope="session")
def run(tern, tmp_path_factory):
    """(run directory, latent weights of its Hugging Face export, its config.json)"""
    room = tmp_path_factory.mktemp("packed")
    text = (REPOSITORY / "configs/demo/tinyshakespeare.txt").read_text()[:60_000]
    (room / "text.txt").write_text(text)
    tern("tokenizer", "train", "--vocab-size", V, "--out", room / "tokenizer.model", room / "text.txt")
    tern("prepare", "--tokenizer", room / "tokenizer.model", "--out", room / "tokens", room / "text.txt")
    (room / "tiny.toml").write_text(f"""
[run]
steps = 20
directory = "{room}"
name = "run"
[model]
vocab_size = {V}
hidden_size = {D}
num_hidden_layers = {L}
intermediate_size = {H}
[[data.source]]
path = "{room}/tokens"
[optimizer]
lr = 1e-2
[batch]
tokens = 64
context = 16
""")
    tern("train", room / "tiny.toml")
    tern("export", "--checkpoint", room / "run", "--to", "hf", "--out", room / "hf")
    latent = load_file(room / "hf/model.safetensors")
    return room / "run", latent, json.loads((room / "hf/config.json").read_text())


@pytest.fixture(params=["f32", "bf16", "int8"])
def packed(request, tern, run, tmp_path):
    """(path, the file as the page reads it, embedding)"""
    path = tmp_path / "model.packed.safetensors"
    tern("export", "--checkpoint", run[0], "--to", "packed", "--out", path, "--embedding", request.param)
    return path, reader()(path), request.param


def is_matrix(name):
    return "_proj.weight" in name or name == "lm_head.weight"


def test_every_tensor_is_there(packed, run):
    scales = {f"{name}_scale" for name in run[1] if is_matrix(name)}
    if packed[2] == "int8":
        scales.add("model.embeddings.weight_scale")
    with safe_open(packed[0], "np") as file:
        assert set(file.keys()) == run[1].keys() | scales | {"tokenizer", "hashes"}
        assert file.metadata()["step"] == "20"
    assert packed[1].config == run[2]


def test_codes_are_the_rounded_latent_weights(packed, run):
    matrices = [name for name in run[1] if is_matrix(name)]
    assert len(matrices) == 6 * L + 1
    for name in matrices:
        w = run[1][name]
        mean = np.float32(np.abs(w.astype(np.float64)).mean())
        scale = np.float32(1) / np.maximum(mean, np.float32(1e-5))
        codes = packed[1].codes(name, *w.shape)
        assert (codes == np.clip(np.rint(w * scale), -1, 1)).all(), name
        assert set(np.unique(codes)) == {-1, 0, 1}, name
        assert packed[1].tensor(name + "_scale")[0] == scale, name


def test_the_package_reads_the_same_bytes(packed):
    with safe_open(packed[0], "np") as file:
        for name, entry in packed[1].header.items():
            if entry["dtype"] != "BF16":  # numpy has none
                assert (file.get_tensor(name) == packed[1].tensor(name)).all(), name


def test_the_other_weights(packed, run):
    _, file, embedding = packed
    for name, w in run[1].items():
        if is_matrix(name):
            continue
        values = file.tensor(name)
        if name != "model.embeddings.weight" or embedding == "f32":
            assert (values == w).all(), name
        elif embedding == "bf16":
            bits = w.view(np.uint32).astype(np.uint64)
            rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16  # halves to even
            assert (values == rounded.astype(np.uint32).view(np.float32)).all()
        else:
            scale = np.float32(127) / np.abs(w).max(axis=1, keepdims=True)
            assert (file.tensor(name + "_scale") == scale[:, 0]).all()
            assert (values == np.rint(w * scale)).all()


def test_the_tokenizer_is_the_runs(packed, run):
    assert bytes(packed[1].tensor("tokenizer")) == (run[0].parent / "tokenizer.model").read_bytes()
