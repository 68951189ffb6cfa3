"""The model against golden files and against tern, which computed their intermediates."""
import numpy as np
import pytest
import torch
from conftest import GOLDEN, TINY, code_of, golden_config, golden_tensors, load, relative_error, replay, write_folder

TERNARY = [p for p in GOLDEN if golden_config(p).get("quantize", "ternary") == "ternary"]
by_name = pytest.mark.parametrize("golden", GOLDEN, ids=lambda p: p.stem)
ternary_by_name = pytest.mark.parametrize("golden", TERNARY, ids=lambda p: p.stem)


def test_there_are_golden_files():
    assert {p.stem for p in TERNARY} >= {"tiny_model", "tiny_no_lower_bound"}


def test_quantisers_by_hand(folder_of):
    code = code_of(load(folder_of(TINY)))
    for dtype in (torch.float32, torch.float64):
        rows = torch.tensor([[127, 0.5, 1.5, 2.5, -0.5, -1.5, -127], [0] * 7, [1e-7] * 7], dtype=dtype)
        codes, scale = code.quantize_activations(rows)
        assert codes.tolist() == [[127, 0, 2, 2, 0, -2, -127], [0] * 7, [1] * 7]  # halves to even
        assert scale.dtype == dtype and scale[0] == 1
        assert relative_error(scale[1:], [[127e5]] * 2) < 1e-7
        # a true division: 127 * (1 / x) would end in other last bits for many of these
        x = torch.linspace(1, 2, 1001, dtype=dtype)[:, None]
        expected = np.array(127, dtype=x.numpy().dtype) / x.numpy()
        assert (code.quantize_activations(x)[1].numpy() == expected).all()
        codes, scale = code.quantize_weight(torch.tensor([[1, -2, 0.5], [0.25, -0.75, 1.5]], dtype=dtype))
        assert codes.tolist() == [[1, -1, 0], [0, -1, 1]] and scale == 1
        codes, scale = code.quantize_weight(torch.tensor([[1e-6, 6e-6]], dtype=dtype))  # the floor of the mean
        assert codes.tolist() == [[0, 1]] and relative_error(scale, 1e5) < 1e-6
        nan = code.quantize_activations(torch.tensor([[1, float("nan")], [1, 2]], dtype=dtype))
        assert torch.isnan(nan[1][0]).all() and torch.isfinite(nan[1][1]).all()  # only in its row


@by_name
def test_logits_loss_and_gradients_in_float64(folder_of, golden):
    tensors = golden_tensors(golden)
    model = load(folder_of(golden)).train()
    out = model(tensors["input_ids"].long(), shift_labels=tensors["target_ids"].long())
    out.loss.backward()
    assert relative_error(out.logits.detach(), tensors["logits"]) < 1e-6
    assert relative_error(out.loss.detach().reshape(1), tensors["loss"]) < 1e-6
    errors = {n: relative_error(p.grad, tensors["grad." + n]) for n, p in model.named_parameters()}
    assert len(errors) == sum(name.startswith("grad.") for name in tensors)
    assert max(errors.values()) < 1e-6, max(errors, key=errors.get)


@by_name
def test_labels_are_shifted_by_one(folder_of, golden):
    ids = golden_tensors(golden)["input_ids"].long()
    model = load(folder_of(golden))
    with torch.no_grad():
        labels = ids.clone()
        labels[0, :5] = -100
        ours = model(ids, labels=labels).loss
        logits = model(ids).logits[:, :-1].flatten(0, 1)
        terms = torch.nn.functional.cross_entropy(logits, ids[:, 1:].flatten(), reduction="none")
        terms = terms.reshape(ids.shape[0], -1)
        terms[0, :4] = 0
        count = terms.numel() - 4
        assert abs(ours - terms.sum() / count) < 1e-12
        assert abs(model(ids, labels=labels, num_items_in_batch=7).loss - terms.sum() / 7) < 1e-12
        assert torch.equal(model(ids, logits_to_keep=3).logits, model(ids).logits[:, -3:])


@ternary_by_name
def test_every_rounding_decision_is_terns_in_float64(folder_of, trace, monkeypatch, golden):
    arrays = trace("--golden", golden)
    model = load(folder_of(golden))
    differing = replay(model, monkeypatch, arrays)
    with torch.no_grad():
        logits = model(golden_tensors(golden)["input_ids"].long()).logits
    assert len(differing) == 2 * sum(name.endswith(".input.q") for name in arrays)
    assert sum(differing) == 0
    assert relative_error(logits.flatten(0, 1), arrays["lm_head.output"]) < 1e-12


@ternary_by_name
def test_float32_with_the_decisions_of_float64(folder_of, trace, monkeypatch, golden):
    arrays = trace("--golden", golden)
    model = load(folder_of(golden), torch.float32)
    differing = replay(model, monkeypatch, arrays)
    with torch.no_grad():
        logits = model(golden_tensors(golden)["input_ids"].long()).logits
    assert logits.dtype == torch.float32
    assert relative_error(logits.flatten(0, 1), arrays["lm_head.output"]) < 1e-5
    assert sum(differing) < 100  # a few near ties, of some hundred thousand


def dense_logits(p, config, ids):
    """The model of quantize = "none" once more, in NumPy, one token after the other: (T, V) of ids (T)."""

    def norm(x, name):
        return x / np.sqrt(np.mean(x * x) + 1e-6) * p[name + ".weight"]

    def linear(x, name):
        return p[name + ".weight"] @ norm(x, name + ".norm")

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    L = config["num_hidden_layers"]
    shares = np.exp(p["model.lower_bounds"]) / np.exp(p["model.lower_bounds"]).sum(0)
    h, logits = np.zeros((L, config["hidden_size"])), []
    for token in ids:
        x = p["model.embeddings.weight"][token]
        for l in range(L):
            at = f"model.layers.{l}."
            u = norm(x, at + "attn_norm")
            f, c, low = sigmoid(linear(u, at + "attn.f_proj")), linear(u, at + "attn.i_proj"), shares[1 : l + 1].sum(0)
            f = low + (1 - low) * f
            h[l] = f * h[l] + (1 - f) * c * sigmoid(c)
            g = norm(linear(u, at + "attn.g_proj"), at + "attn.g_norm")
            x = x + linear(g * h[l] * sigmoid(h[l]), at + "attn.o_proj")
            a, b = np.split(linear(norm(x, at + "mlp_norm"), at + "mlp.gate_proj"), 2)
            x = x + linear(a * sigmoid(a) * b, at + "mlp.down_proj")
        logits.append(linear(norm(x, "model.norm"), "lm_head"))
    return np.array(logits)


def test_quantize_none(tmp_path):
    tensors, config = golden_tensors(TINY), {**golden_config(TINY), "quantize": "none"}
    parameters = {k[6:]: v for k, v in tensors.items() if k.startswith("param.")}
    torch.manual_seed(1)
    parameters["model.lower_bounds"] = torch.randn(parameters["model.lower_bounds"].shape)
    model = load(write_folder(tmp_path / "dense", config, parameters)).train()
    ids = tensors["input_ids"][:1, :9].long()
    loss = model(ids, labels=ids).loss
    expected = dense_logits({k: v.double().numpy() for k, v in parameters.items()}, config, ids[0].tolist())
    assert relative_error(model(ids).logits[0].detach(), expected) < 1e-12

    # nothing is rounded, so the gradient is the derivative: along a random direction, by central differences
    loss.backward()
    direction = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    slope = sum((p.grad * direction[n]).sum() for n, p in model.named_parameters())

    def loss_at(step):
        with torch.no_grad():
            moved = {n: p + step * direction[n] for n, p in model.named_parameters()}
            return torch.func.functional_call(model, moved, (ids,), {"labels": ids}).loss

    def difference(h):
        return (loss_at(h) - loss_at(-h)) / (2 * h)

    numeric = (4 * difference(1e-5) - difference(2e-5)) / 3
    assert abs(slope - numeric) < 1e-7 * abs(numeric)
