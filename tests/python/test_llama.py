"""The Transformer under Llama's names: transformers' own LlamaForCausalLM computes what tern computes."""
import json

import pytest
import torch
from conftest import REPOSITORY, golden_config, golden_tensors, load, relative_error
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, LlamaForCausalLM


class Exported:
    """A golden file, its Hugging Face folder, the checkpoint that tern imports of it, what tern exports of that."""

    def __init__(self, form, tern, room):
        self.path = REPOSITORY / f"tests/golden/transformer_{form}.safetensors"
        self.golden, self.checkpoint, self.folder = room / "golden", room / "checkpoint", room / "hf"
        self.golden.mkdir()
        (self.golden / "config.json").write_text(json.dumps(golden_config(self.path)))
        parameters = {k[6:]: v for k, v in golden_tensors(self.path).items() if k.startswith("param.")}
        save_file(parameters, self.golden / "model.safetensors", metadata={"format": "pt"})
        tern("import", "--from", self.golden, "--out", self.checkpoint)
        tern("export", "--checkpoint", self.checkpoint, "--to", "hf", "--out", self.folder)


@pytest.fixture(scope="module")
def dense(tern, tmp_path_factory):
    return Exported("dense", tern, tmp_path_factory.mktemp("dense"))


@pytest.fixture(scope="module")
def ternary(tern, tmp_path_factory):
    return Exported("ternary", tern, tmp_path_factory.mktemp("ternary"))


@pytest.mark.parametrize("form", ["dense", "ternary"])
def test_an_export_holds_the_same_tensors(form, request):
    exported = request.getfixturevalue(form)
    ours, theirs = (load_file(f / "model.safetensors") for f in (exported.folder, exported.golden))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_logits_and_gradients_are_the_golden_files(dense):
    model, golden = load(dense.folder), golden_tensors(dense.path)
    assert type(model) is LlamaForCausalLM
    logits = model(golden["input_ids"].long()).logits
    # Rotary tables are float32 in transformers: hence not 1e-8.
    assert relative_error(logits.detach(), golden["logits"]) < 1e-6
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), golden["target_ids"].long().flatten()).backward()
    for name, p in model.named_parameters():
        assert relative_error(p.grad, golden["grad." + name]) < 1e-6, name


def test_logits_are_those_of_the_checkpoint(dense, trace):
    ids = list(range(3, 60))
    arrays = trace("--checkpoint", dense.checkpoint, "--tokens", ",".join(map(str, ids)))
    with torch.no_grad():
        logits = load(dense.folder, torch.float32)(torch.tensor([ids])).logits[0]
    assert relative_error(logits, arrays["lm_head.output"]) < 1e-5


def test_a_folder_that_transformers_saved_is_imported(dense, tern, trace, tmp_path):
    load(dense.folder, torch.float32).save_pretrained(tmp_path / "saved")
    tern("import", "--from", tmp_path / "saved", "--out", tmp_path / "again")
    ours, theirs = (trace("--checkpoint", c, "--tokens", "5,7,9,200") for c in (tmp_path / "again", dense.checkpoint))
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_the_ternary_form_has_a_name_of_its_own(ternary):
    """Under "llama" transformers would leave the projections' norms out and compute something else."""
    with pytest.raises(ValueError, match="llama_bit"):
        AutoConfig.from_pretrained(ternary.folder)
