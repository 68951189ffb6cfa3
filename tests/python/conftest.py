"""Tests of the PyTorch files in python/hgrn_bit, and of the folders that `tern export` writes.

TERN names the tern program; scripts/test_python.sh sets it. A missing dependency fails, nothing is skipped."""
import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Before transformers is imported: no network, no GPU, and no file outside a directory of our own.
ROOM = tempfile.mkdtemp(prefix="tern-python-")
atexit.register(shutil.rmtree, ROOM, ignore_errors=True)
os.environ.update(
    HF_HOME=ROOM, HF_MODULES_CACHE=ROOM + "/modules", HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="",
    TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error",
)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

torch.set_num_threads(1)  # the matrices are tiny: more threads would only wait for each other

REPOSITORY = Path(__file__).parents[2]
CODE = [REPOSITORY / "python/hgrn_bit" / f"{name}_hgrn_bit.py" for name in ("configuration", "modeling")]

CONFIG = {
    "architectures": ["HGRNBitForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_hgrn_bit.HGRNBitConfig",
        "AutoModel": "modeling_hgrn_bit.HGRNBitModel",
        "AutoModelForCausalLM": "modeling_hgrn_bit.HGRNBitForCausalLM",
    },
    "model_type": "hgrn_bit", "num_heads": 1, "expand_ratio": 1, "use_short_conv": False, "conv_size": 4,
    "share_conv_kernel": True, "use_lower_bound": True, "hidden_ratio": 4, "intermediate_size": None,
    "hidden_act": "swish", "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "initializer_range": 0.02,
    "fuse_cross_entropy": True, "use_cache": True, "quantize": "ternary", "bos_token_id": 1, "eos_token_id": 2,
    "tie_word_embeddings": False, "torch_dtype": "float32",
}  # fmt: skip


def golden_config(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["config"])


# every golden file of this family, whatever its quantiser
GOLDEN = [p for p in sorted((REPOSITORY / "tests/golden").glob("*.safetensors"))
          if golden_config(p).get("model_type", "hgrn_bit") == "hgrn_bit"]  # fmt: skip
TINY = REPOSITORY / "tests/golden/tiny_model.safetensors"


def golden_tensors(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def write_folder(folder, config, parameters):
    """A Hugging Face folder."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}, indent=2))
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}))
    save_file(parameters, folder / "model.safetensors", metadata={"format": "pt"})
    for file in CODE:
        shutil.copy(file, folder)
    return folder


def load(folder, dtype=torch.float64, auto=AutoModelForCausalLM, **kwargs):
    return auto.from_pretrained(folder, trust_remote_code=True, dtype=dtype, **kwargs)


def relative_error(ours, theirs):
    """Largest difference over the largest magnitude."""
    ours, theirs = torch.as_tensor(ours).double(), torch.as_tensor(theirs).double()
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    """Of a golden file: the Hugging Face folder with its parameters."""
    made = {}

    def make(path):
        if path not in made:
            parameters = {k[6:]: v for k, v in golden_tensors(path).items() if k.startswith("param.")}
            made[path] = write_folder(tmp_path_factory.mktemp("golden") / path.stem, golden_config(path), parameters)
        return made[path]

    return make


@pytest.fixture(scope="session")
def tern():
    """Calls the tern program and returns what it prints."""
    program = os.environ.get("TERN", "")
    if not os.access(program, os.X_OK):
        pytest.fail(f"TERN: expected the path of the tern program, got '{program}'")

    def call(*args):
        done = subprocess.run([program, *map(str, args)], capture_output=True, text=True)
        assert done.returncode == 0, f"tern {' '.join(map(str, args))}: {done.stdout}{done.stderr}"
        return done.stdout

    return call


@pytest.fixture(scope="session")
def trace(tern, tmp_path_factory):
    """Calls `tern trace` and returns its arrays by name."""

    def call(*args):
        out = tmp_path_factory.mktemp("trace") / "arrays"
        tern("trace", *args, "--out", out)
        arrays = json.loads((out / "index.json").read_text())["arrays"]
        return {a["name"]: np.load(out / a["file"]) for a in arrays}

    return call


def code_of(model):
    """The module that from_pretrained loaded: modeling_hgrn_bit as copied into the cache."""
    return sys.modules[type(model).__module__]


def watch_quantisers(model, monkeypatch, see_input, see_weight):
    """Replaces what every BitLinear of the model gets: see_input(name, codes, scale) and
    see_weight(name, codes, scale) return the codes to use. name is the layer's, "lm_head"."""
    code, current = code_of(model), []

    def of(see, quantise):
        def replaced(x):
            codes, scale = quantise(x)
            return see(current[-1], codes, scale), scale

        return replaced

    for name, module in model.named_modules():
        if isinstance(module, code.BitLinear):
            module.register_forward_pre_hook(lambda *_, name=name: current.append(name))
    monkeypatch.setattr(code, "quantize_activations", of(see_input, code.quantize_activations))
    monkeypatch.setattr(code, "quantize_weight", of(see_weight, code.quantize_weight))


def replay(model, monkeypatch, arrays):
    """The model rounds as the traced run did. Returns a list that receives the number of decisions that it would
    have made otherwise, layer by layer."""
    differing = []

    def see(part):
        def codes_of(name, codes, scale):
            theirs = torch.as_tensor(arrays[f"{name}.{part}.q"]).to(codes).reshape(codes.shape)
            differing.append(int((codes != theirs).sum()))
            return theirs

        return codes_of

    watch_quantisers(model, monkeypatch, see("input"), see("weight"))
    return differing
