#!/usr/bin/env python3
"""tern's attention beside PyTorch's scaled_dot_product_attention on the same GPU, one after the other.

    scripts/bench_attention.py [BxTxHEADSxD ...]      TERN: the program, build/bin/tern by default

For each size: milliseconds and TFLOP/s (causal pairs only: 4 d FLOP forward, 10 d backward), median of
repeated calls, of tern and of PyTorch's cuDNN and flash backends, in bf16, forward with what backward
needs. tern repeats its bits; "repeatable" lanes ask PyTorch for the same.
"""
import os
import subprocess
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

SIZES = ["32x2048x8x128", "16x2048x16x128", "8x2048x20x128"]
CALLS = 15


def median_ms(f):
    times = []
    for _ in range(CALLS + 3):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(1_000_000)  # the host is ahead when the clock starts
        begin.record()
        f()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times[3:])[CALLS // 2]


def torch_times(size, backend, repeatable):
    B, T, heads, d = size
    torch.use_deterministic_algorithms(repeatable, warn_only=True)
    q, k, v = (torch.randn(B, T, heads, d, device="cuda", dtype=torch.bfloat16).transpose(1, 2)
               .requires_grad_() for _ in range(3))
    with sdpa_kernel(backend):
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        dout = torch.randn_like(out)
        forward = median_ms(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True))
        backward = median_ms(lambda: torch.autograd.grad(out, (q, k, v), dout, retain_graph=True))
    torch.use_deterministic_algorithms(False)
    return forward, backward


def tern_times(size):
    B, T, heads, d = map(str, size)
    text = subprocess.run(
        [os.environ.get("TERN", "build/bin/tern"), "bench", "attention", "--device", "cuda", "--batch",
         B, "--context", T, "--heads", heads, "--head-width", d, "--steps", str(CALLS)],
        check=True, capture_output=True, text=True).stdout
    print(text, end="")
    lines = [line.split() for line in text.splitlines() if line]
    forward = next(float(w[3]) for w in lines if w[:2] == ["Attention", f"{T}x{T}"])
    backward = next(float(w[2]) for w in lines if w[0] == "AttentionBackward")
    return forward / 1e3, backward / 1e3


def main():
    print(f"PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, "
          f"{torch.cuda.get_device_name()}")
    for text in sys.argv[1:] or SIZES:
        size = B, T, heads, d = tuple(map(int, text.split("x")))
        pairs = B * heads * T * (T + 1) / 2
        lanes = {"tern": tern_times(size)}
        for name, backend in (("cuDNN", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)):
            for repeatable in (False, True):
                lane = f"PyTorch {name}" + (", repeatable" if repeatable else "")
                try:
                    lanes[lane] = torch_times(size, backend, repeatable)
                except RuntimeError as error:
                    print(f"{lane}: {str(error).splitlines()[0]}")
        print(f"{text:<34} {'forward ms':>10} {'TFLOP/s':>8} {'backward ms':>12} {'TFLOP/s':>8} {'both':>8} "
              f"{'tern/it':>8}")
        for lane, (forward, backward) in lanes.items():
            print(f"{lane:<34} {forward:>10.3f} {4 * d * pairs / forward / 1e9:>8.0f} {backward:>12.3f} "
                  f"{10 * d * pairs / backward / 1e9:>8.0f} {forward + backward:>8.3f} "
                  f"{sum(lanes['tern']) / (forward + backward):>8.2f}")


if __name__ == "__main__":
    main()
