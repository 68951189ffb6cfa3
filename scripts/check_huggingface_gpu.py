#!/usr/bin/env python3
"""Compares a Hugging Face folder of this repository on a GPU with the CPU: one line a check, exit code 1 if one fails.
    scripts/check_huggingface_gpu.py FOLDER        (needs torch with CUDA and transformers)"""
import os
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
room = tempfile.TemporaryDirectory()
os.environ["HF_MODULES_CACHE"] = room.name

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

failed = False


def check(what, good, detail=""):
    global failed
    failed |= not good
    print(f"{'ok    ' if good else 'FAILED'} {what}{': ' if detail else ''}{detail}", flush=True)


def load(folder, dtype, device):
    # no argument `dtype`: its name differs between versions, and no conversion here loses bits that a second needs
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    return model.to(device=device, dtype=dtype).eval()


def relative_error(ours, theirs):
    ours, theirs = ours.double().cpu(), theirs.double().cpu()
    return float((ours - theirs).abs().max() / theirs.abs().max())


@torch.no_grad()
def compare_logits(folder, ids):
    """Returns the logits of the CPU in float64."""
    exact = load(folder, torch.float64, "cpu")(ids, use_cache=False).logits
    on_gpu = load(folder, torch.float64, "cuda")
    logits = on_gpu(ids.cuda(), use_cache=False).logits
    error = relative_error(logits, exact)
    check("logits in float64, GPU against CPU", error < 1e-6, f"{error:.1e} of the largest, allowed 1e-6")
    pieces, cache = [], None
    for piece in ids.cuda().split([5, 1, 1, ids.shape[1] - 7], dim=1):
        out = on_gpu(piece, past_key_values=cache, use_cache=True)
        cache = out.cache if "cache" in out else out.past_key_values
        pieces.append(out.logits)
    error = relative_error(torch.cat(pieces, dim=1), logits)
    check("logits in float64, in pieces against whole", error < 1e-12, f"{error:.1e}, allowed 1e-12")
    for dtype in (torch.float32, torch.bfloat16):
        model = load(folder, dtype, "cuda")
        logits = model(ids.cuda(), use_cache=False).logits
        # the CPU with the same stored weights; roundings that flip change everything after them a little
        like = load(folder, dtype, "cpu")(ids, use_cache=False).logits
        difference = logits.double().cpu() - like.double()
        error = float(difference.square().mean().sqrt() / like.double().square().mean().sqrt())
        agree = float((logits.argmax(-1).cpu() == like.argmax(-1)).double().mean())
        finite = bool(torch.isfinite(logits).all())
        check(f"logits with {str(dtype)[6:]} weights, GPU against CPU", finite and error < 0.05,
              f"RMS of the difference {error:.1e} of the logits', allowed 5e-2; {agree:.1%} of next tokens agree")  # fmt: skip
        with torch.autocast("cuda", torch.bfloat16):
            inside = model(ids.cuda(), use_cache=False).logits
        check("the same under autocast", torch.equal(inside, logits))


def compare_training(folder, ids):
    gradients = []
    for device in ("cpu", "cuda"):
        model = load(folder, torch.float64, device).train()
        model(ids.to(device), labels=ids.to(device)).loss.backward()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    error = max(relative_error(gradients[1][n], g) for n, g in gradients[0].items())
    check("gradients in float64, GPU against CPU", error < 1e-6, f"{error:.1e} of each one's largest, allowed 1e-6")


def generate_padded(folder, ids):
    lengths = [3, 16, 9, 1]
    rows = [ids[i % len(ids), :n] for i, n in enumerate(lengths)]
    pad = lambda r, value: torch.nn.functional.pad(r, (max(lengths) - len(r), 0), value=value)  # noqa: E731
    batch = torch.stack([pad(r, 0) for r in rows]).cuda()
    mask = torch.stack([pad(torch.ones_like(r), 0) for r in rows]).cuda()
    greedy = dict(do_sample=False, max_new_tokens=16, eos_token_id=None, pad_token_id=0)
    for dtype in (torch.float64, torch.bfloat16):
        model = load(folder, dtype, "cuda")
        together = model.generate(batch, attention_mask=mask, **greedy)[:, max(lengths) :]
        alone = [model.generate(r[None].cuda(), attention_mask=torch.ones_like(r[None]).cuda(), **greedy)[0, len(r) :]
                 for r in rows]  # fmt: skip
        same = sum(torch.equal(a, b) for a, b in zip(together, alone))
        what = f"16 tokens of a batch padded on the left, {str(dtype)[6:]}"
        good = together.shape == (4, 16) and (same == 4 or dtype != torch.float64)
        check(what, good, f"{same} of 4 rows are what they are alone, expected {'4' if dtype == torch.float64 else 'most'}")
        if dtype == torch.float64:
            without = model.generate(batch, attention_mask=mask, use_cache=False, **greedy)[:, max(lengths) :]
            check("the same without a cache", torch.equal(without, together))
            beams = [model.generate(batch, attention_mask=mask, num_beams=3, use_cache=use, **greedy)
                     for use in (True, False)]  # fmt: skip
            check("beam search with and without a cache", torch.equal(*beams))


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: scripts/check_huggingface_gpu.py FOLDER")
    folder = os.path.abspath(sys.argv[1])
    if not torch.cuda.is_available():
        sys.exit("expected a GPU that torch can use: torch.cuda.is_available() is false")
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.cuda.get_device_name()}")
    vocabulary = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True).vocab_size
    ids = torch.randint(0, vocabulary, (2, 64), generator=torch.Generator().manual_seed(1))
    compare_logits(folder, ids)
    compare_training(folder, ids[:, :16])
    generate_padded(folder, ids)
    sys.exit(failed)


main()
