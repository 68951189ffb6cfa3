"""The folder that `tern export` writes, and `tern import` of it: a small model is trained, exported, and loaded here."""
import json

import pytest
import torch
from conftest import CODE, CONFIG, REPOSITORY, load, relative_error, replay
from safetensors import safe_open
from transformers import AutoTokenizer

V, D, H, L = 320, 16, 32, 2
TEXT = "ROMEO:\nWhat light, what light? Ünïcode  and\ttabs, 12345."


@pytest.fixture(scope="session")
def corpus(tern, tmp_path_factory):
    room = tmp_path_factory.mktemp("corpus")
    text = (REPOSITORY / "configs/demo/tinyshakespeare.txt").read_text()[:60_000]
    (room / "text.txt").write_text(text)
    tern("tokenizer", "train", "--vocab-size", V, "--out", room / "tokenizer.model", room / "text.txt")
    tern("prepare", "--tokenizer", room / "tokenizer.model", "--out", room / "tokens", "--validation", "0.1",
         room / "text.txt")  # fmt: skip
    return room / "tokens"


@pytest.fixture(scope="session", params=["ternary", "none"])
def exported(request, tern, corpus, tmp_path_factory):
    """(run directory, exported folder, quantize)"""
    room, quantize = tmp_path_factory.mktemp("run"), request.param
    (room / "tiny.toml").write_text(f"""
[run]
steps = 40
directory = "{room}"
name = "run"
[model]
vocab_size = {V}
hidden_size = {D}
num_hidden_layers = {L}
intermediate_size = {H}
quantize = "{quantize}"
[[data.source]]
path = "{corpus}"
[optimizer]
lr = 1e-2
[batch]
tokens = 64
context = 16
""")
    tern("train", room / "tiny.toml")
    tern("export", "--checkpoint", room / "run", "--to", "hf", "--out", room / "hf")
    return room / "run", room / "hf", quantize


def test_files(exported):
    folder = exported[1]
    assert all((folder / file.name).read_bytes() == file.read_bytes() for file in CODE)
    config = json.loads((folder / "config.json").read_text())
    expected = {**CONFIG, "vocab_size": V, "hidden_size": D, "num_hidden_layers": L, "intermediate_size": H,
                "quantize": exported[2]}  # fmt: skip
    free = {"torch_dtype", "dtype", "max_position_embeddings", "bos_token_id", "eos_token_id"}
    defaults = {"use_cache": True, "quantize": "ternary"}  # of keys that released checkpoints do not have
    for key in expected.keys() - free:
        assert config.get(key, defaults.get(key)) == expected[key], key
    generation = json.loads((folder / "generation_config.json").read_text())
    assert all(generation.get(k) == config[k] for k in ("bos_token_id", "eos_token_id"))


def test_tensors(exported):
    layer = {"attn_norm": D, "mlp_norm": D, "attn.g_norm": D, "mlp.gate_proj.norm": D, "mlp.down_proj.norm": H,
             "mlp.gate_proj": (2 * H, D), "mlp.down_proj": (D, H)}  # fmt: skip
    for name in "ifgo":
        layer |= {f"attn.{name}_proj": (D, D), f"attn.{name}_proj.norm": D}
    expected = {"model.embeddings.weight": (V, D), "model.lower_bounds": (L, D), "model.norm.weight": D,
                "lm_head.weight": (V, D), "lm_head.norm.weight": D}  # fmt: skip
    expected |= {f"model.layers.{l}.{name}.weight": shape for l in range(L) for name, shape in layer.items()}
    with safe_open(exported[1] / "model.safetensors", "pt") as file:
        assert file.metadata()["format"] == "pt"
        shapes = {name: tuple(file.get_tensor(name).shape) for name in file.keys()}
    assert shapes == {name: shape if isinstance(shape, tuple) else (shape,) for name, shape in expected.items()}


def test_logits_are_terns(exported, trace, monkeypatch):
    run, folder, quantize = exported
    ids = [1, *range(3, 40), 7, 7]
    arrays = trace("--checkpoint", run, "--tokens", ",".join(map(str, ids)))
    model = load(folder, torch.float32)
    differing = replay(model, monkeypatch, arrays) if quantize == "ternary" else []
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    assert relative_error(logits, arrays["lm_head.output"]) < 1e-5
    assert sum(differing) < 100  # near ties


def test_the_tokenizer_is_terns(exported, trace):
    run, folder, _ = exported
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    for text in (TEXT, " leading", "trailing ", "two  spaces\n\nand lines\n", "日本 🙂"):
        theirs = trace("--checkpoint", run, "--text", text)["ids"].reshape(-1).tolist()
        ours = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ours == theirs[len(theirs) - len(ours) :], text
        assert len(theirs) - len(ours) in (0, 1)  # bos in front
        assert tokenizer.decode(ours, clean_up_tokenization_spaces=False) == text


def test_generating_a_padded_batch_of_texts(exported):
    tokenizer = AutoTokenizer.from_pretrained(exported[1], trust_remote_code=True, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = load(exported[1])
    inputs = tokenizer(["ROMEO:", "What light is this"], return_tensors="pt", padding=True, return_token_type_ids=False)
    assert inputs["attention_mask"].min() == 0
    greedy = dict(do_sample=False, max_new_tokens=8, eos_token_id=None, pad_token_id=tokenizer.pad_token_id)
    texts = model.generate(**inputs, **greedy)
    for text, ids, mask in zip(texts, inputs["input_ids"], inputs["attention_mask"]):
        alone = ids[mask.bool()][None]
        again = model.generate(alone, attention_mask=torch.ones_like(alone), **greedy)
        assert torch.equal(text[-8:], again[0, -8:])


def test_import_gives_the_same_model(exported, tern, trace, tmp_path):
    run, folder, _ = exported
    load(folder, torch.float32).save_pretrained(tmp_path / "saved")
    for file in folder.iterdir():  # save_pretrained leaves the tokenizer out
        if not (tmp_path / "saved" / file.name).exists():
            (tmp_path / "saved" / file.name).write_bytes(file.read_bytes())
    theirs = trace("--checkpoint", run, "--tokens", "1,15,7,300")
    for source in (folder, tmp_path / "saved"):
        to = tmp_path / f"from-{source.name}"
        tern("import", "--from", source, "--out", to)
        ours = trace("--checkpoint", to, "--tokens", "1,15,7,300")
        assert ours.keys() == theirs.keys()
        assert all((ours[name] == theirs[name]).all() for name in theirs)
