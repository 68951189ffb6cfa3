"""Loading, generating, saving and training through transformers."""
import copy
import json

import pytest
import torch
from conftest import CODE, TINY, code_of, golden_tensors, load, relative_error
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of(TINY)


@pytest.fixture(scope="module")
def model(folder):
    return load(folder)


@pytest.fixture(scope="module")
def ids():
    return golden_tensors(TINY)["input_ids"].long()


GREEDY = dict(do_sample=False, max_new_tokens=12, eos_token_id=None)  # no eos: every row gets all tokens


def ones(ids):
    return torch.ones_like(ids)


def generate(model, ids, mask=None, **kwargs):
    return model.generate(ids, attention_mask=ones(ids) if mask is None else mask, **{**GREEDY, **kwargs})


def by_argmax(model, ids, count=GREEDY["max_new_tokens"]):
    """Full forward passes, no cache."""
    for _ in range(count):
        with torch.no_grad():
            logits = model(ids, use_cache=False).logits[:, -1]
        ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], dim=1)
    return ids


def test_the_three_auto_classes(folder, model, ids):
    assert type(AutoConfig.from_pretrained(folder, trust_remote_code=True)).__name__ == "HGRNBitConfig"
    assert type(model).__name__ == "HGRNBitForCausalLM" and not model.training
    body = load(folder, auto=AutoModel)
    assert type(body).__name__ == "HGRNBitModel"
    with torch.no_grad():
        out = body(ids, output_hidden_states=True)
        assert torch.equal(out.last_hidden_state, model.model(ids).last_hidden_state)
        assert len(out.hidden_states) == model.config.num_hidden_layers + 1
        assert torch.equal(model.lm_head(out.hidden_states[-1]), model(ids).logits)
        assert torch.equal(model(ids, return_dict=False)[0], model(ids).logits)


def test_greedy_is_the_argmax_of_full_forward_passes(model, ids):
    prompt = ids[:, :7]
    assert torch.equal(generate(model, prompt), by_argmax(model, prompt))


def test_with_and_without_cache(model, ids):
    prompt = ids[:, :7]
    assert torch.equal(generate(model, prompt, use_cache=True), generate(model, prompt, use_cache=False))


@pytest.mark.parametrize("pieces", [[1] * 48, [48], [5, 1, 30, 12]], ids=["tokens", "whole", "pieces"])
def test_a_sequence_in_pieces_has_the_logits_of_the_whole(model, ids, pieces):
    cache, logits = None, []
    with torch.no_grad():
        for piece in ids.split(pieces, dim=1):
            out = model(piece, past_key_values=cache, use_cache=True)
            cache = out.cache if "cache" in out else out.past_key_values
            logits.append(out.logits)
        assert cache.get_seq_length() == ids.shape[1]
        assert relative_error(torch.cat(logits, dim=1), model(ids, use_cache=False).logits) < 1e-12


def test_left_padding_changes_nothing(model, ids):
    lengths = [3, 11, 1, 7]
    rows = [ids[i % 2, i : i + n] for i, n in enumerate(lengths)]
    longest = max(lengths)
    batch = torch.stack([torch.nn.functional.pad(r, (longest - len(r), 0), value=0) for r in rows])
    mask = torch.stack([torch.nn.functional.pad(ones(r), (longest - len(r), 0)) for r in rows])
    together = generate(model, batch, mask)
    without_cache = generate(model, batch, mask, use_cache=False)
    with torch.no_grad():
        logits = model(batch, attention_mask=mask).logits
        for row, ours, text, again in zip(rows, logits, together, without_cache):
            alone = model(row[None]).logits[0]
            assert relative_error(ours[-len(row) :], alone) < 1e-12
            assert torch.equal(text[longest:], generate(model, row[None])[0, len(row) :])
            assert torch.equal(text, again)


def test_padding_anywhere_leaves_the_states_as_they_are(model, ids):
    mask = ones(ids)
    mask[:, 10:15] = mask[:, 40:] = 0
    with torch.no_grad():
        logits = model(ids, attention_mask=mask).logits
        alone = model(ids[:, mask[0].bool()]).logits
        assert relative_error(logits[:, mask[0].bool()], alone) < 1e-12


def test_sampling(model, ids):
    prompt = ids[:1, :7].expand(4, -1)

    def draw(seed, **kwargs):
        torch.manual_seed(seed)
        return generate(model, prompt, do_sample=True, **kwargs)

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert torch.equal(draw(1, top_k=1), by_argmax(model, prompt))


@pytest.mark.parametrize("beams", [2, 5])
def test_beam_search(model, ids, beams):
    prompt = ids[:, :7]
    kwargs = dict(num_beams=beams, return_dict_in_generate=True, output_scores=True, length_penalty=0.0)
    with_cache, without = (generate(model, prompt, use_cache=use, **kwargs) for use in (True, False))
    assert torch.equal(with_cache.sequences, without.sequences)
    # the score is that of the text: states moved with their beams
    logp = torch.log_softmax(model(with_cache.sequences).logits.float(), dim=-1)[:, 6:-1]
    score = logp.gather(2, with_cache.sequences[:, 7:, None]).sum((1, 2))
    assert relative_error(with_cache.sequences_scores, score.detach()) < 1e-5
    greedy = by_argmax(model, prompt)
    logp = torch.log_softmax(model(greedy).logits.float(), dim=-1)[:, 6:-1]
    assert (score >= logp.gather(2, greedy[:, 7:, None]).sum((1, 2)) - 1e-4).all()


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("ids_given", ["all", "new"])
def test_going_on_from_a_returned_cache(model, ids, ids_given, padding):
    prompt, mask = ids[:, :7].clone(), ones(ids)[:, :7]
    mask[:, :padding] = 0
    for added in (3, 30):  # fewer and more than the cache has seen
        first = generate(model, prompt, mask, max_new_tokens=4, return_dict_in_generate=True)
        name = "cache" if "cache" in first else "past_key_values"
        cache = first[name]
        assert cache.get_seq_length() == 10  # the last id was not read
        text = torch.cat([first.sequences, ids[:, 10 : 10 + added]], dim=1)
        whole = torch.nn.functional.pad(mask, (0, text.shape[1] - 7), value=1)
        given = text if ids_given == "all" else text[:, 10:]
        after = generate(model, given, whole, **{name: cache})[:, given.shape[1] :]
        assert torch.equal(after, by_argmax(model, text[:, padding:])[:, text.shape[1] - padding :])


def test_generating_from_embeddings(model, ids):
    prompt = ids[:, :7]
    embeds = model.get_input_embeddings()(prompt).detach()
    text = model.generate(inputs_embeds=embeds, attention_mask=ones(prompt), **GREEDY)
    assert torch.equal(text, by_argmax(model, prompt)[:, 7:])


def test_what_a_recurrence_cannot_do_is_an_error(model, ids):
    with pytest.raises(ValueError, match="stateful"):
        generate(model, ids[:1, :7], assistant_model=copy.deepcopy(model))
    with pytest.raises(NotImplementedError, match="go back"):
        code_of(model).HGRNBitCache(3).crop(2)
    with pytest.raises(TypeError, match="HGRNBitCache"):
        model(ids, past_key_values=((torch.zeros(1),),))
    with pytest.raises(NotImplementedError, match="vocabulary"):
        model.resize_token_embeddings(300)
    with pytest.raises(ValueError, match="attention_mask"):
        model(ids, attention_mask=ones(ids)[:, :5])


@pytest.mark.parametrize("key, value", [
    ("num_heads", 2), ("expand_ratio", 2), ("use_short_conv", True), ("hidden_act", "gelu"),
    ("quantize", "int4"), ("tie_word_embeddings", True),
])  # fmt: skip
def test_a_layout_that_is_not_computed_is_an_error(folder, tmp_path, key, value):
    config = json.loads((folder / "config.json").read_text())
    for file in CODE:
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(ValueError, match=f"{key}: expected .*, got {value!r}"):
        AutoConfig.from_pretrained(tmp_path, trust_remote_code=True)


def test_the_width_of_the_mlp(model):
    config = type(model.config)
    for width, expected in ((1024, 2816), (2048, 5632), (2560, 6912)):
        assert config(hidden_size=width).glu_width == expected
    assert config(hidden_size=1024, intermediate_size=100).glu_width == 100


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_save_and_load_again(folder, tmp_path, ids, dtype):
    model = load(folder, dtype)
    model.save_pretrained(tmp_path / "saved")
    assert all((tmp_path / "saved" / file.name).read_bytes() == file.read_bytes() for file in CODE)
    again = load(tmp_path / "saved", dtype)
    assert again.dtype == dtype
    assert all(torch.equal(p, dict(again.named_parameters())[n]) for n, p in model.named_parameters())
    with torch.no_grad():
        assert torch.equal(model(ids).logits, again(ids).logits)


def test_the_type_that_config_names(folder, tmp_path):
    load(folder, torch.bfloat16).save_pretrained(tmp_path / "half")
    auto = AutoModelForCausalLM.from_pretrained(tmp_path / "half", trust_remote_code=True, dtype="auto")
    assert auto.dtype == torch.bfloat16


def test_bfloat16_weights_are_only_stored_so(folder, ids):
    half = load(folder, torch.bfloat16)
    assert all(p.dtype == torch.bfloat16 for p in half.parameters())
    single = copy.deepcopy(half).float()
    with torch.no_grad():
        logits = half(ids).logits
        assert logits.dtype == torch.float32 and torch.equal(logits, single(ids).logits)
    assert torch.equal(generate(half, ids[:, :7]), generate(single, ids[:, :7]))


def test_autocast_does_not_round_sums_of_codes(folder, ids):
    model = load(folder, torch.float32).train()
    outside = model(ids, labels=ids)
    outside.loss.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        inside = model(ids, labels=ids)
        inside.loss.backward()
    assert torch.equal(outside.logits, inside.logits)
    assert all(torch.equal(gradients[n], p.grad) for n, p in model.named_parameters())


def test_codes_are_kept_until_weights_change(folder, ids, monkeypatch):
    model = load(folder, torch.float32)
    code, calls = code_of(model), []
    quantise = code.quantize_weight
    monkeypatch.setattr(code, "quantize_weight", lambda w: calls.append(w.shape) or quantise(w))
    matrices = sum(isinstance(m, code.BitLinear) for m in model.modules())
    with torch.no_grad():
        before = model(ids).logits
        generate(model, ids[:, :7])
        assert len(calls) == matrices  # once each, not once a token
        weight = model.model.layers[1].mlp.gate_proj.weight
        weight.copy_(weight.flip(0))
        changed = model(ids).logits
        assert len(calls) == matrices + 1 and not torch.equal(before, changed)
        assert torch.equal(changed, copy.deepcopy(model)(ids).logits)
        assert torch.equal(changed.double(), model.double().float()(ids).logits.double())
    with torch.inference_mode():
        assert torch.equal(changed, model(ids).logits)


def test_weights_that_were_made_in_inference_mode(folder, model, ids):
    with torch.inference_mode():
        assert torch.equal(copy.deepcopy(model)(ids).logits, model(ids).logits)


def test_training_lowers_the_loss(folder, ids):
    model = load(folder, torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    losses = []
    for _ in range(12):
        loss = model(ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1, losses
    assert all(getattr(module, "_kept", None) is None for module in model.modules())  # no memory for it in training
    with torch.no_grad():
        evaluated = model.eval()(ids, labels=ids).loss.item()  # with the new weights' codes
    assert evaluated < losses[-1] + 0.1


def test_first_values(model):
    torch.manual_seed(0)
    config = type(model.config)(vocab_size=1000, hidden_size=256, num_hidden_layers=8)
    fresh = type(model)(config)
    expected = {"embeddings": 0.02, "lm_head": 0.02, "gate_proj": 0.02, "down_proj": 0.02 / 4,
                "i_proj": 2**-2.5 / 16, "f_proj": 2**-2.5 / 16, "g_proj": 2**-2.5 / 16, "o_proj": 2**-2.5 / 16}
    seen = set()
    for name, value in fresh.named_parameters():
        if name.endswith("lower_bounds"):
            assert (value == 0).all()
        elif value.dim() == 1:
            assert (value == 1).all()
        else:
            kind = name.split(".")[-2]
            seen.add(kind)
            assert abs(value.std() / expected[kind] - 1) < 0.02, name
            largest = value.abs().max() / value.std()  # of a uniform distribution: sqrt(3)
            assert (largest < 1.8) == (kind in ("i_proj", "f_proj", "g_proj", "o_proj")), name
    assert seen == set(expected)
