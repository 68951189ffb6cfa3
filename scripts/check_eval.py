#!/usr/bin/env python3
"""Compares `tern eval --tasks` with results of lm-evaluation-harness, item by item: every id, log-likelihood, prediction, metric.
    scripts/check_eval.py TERN ORACLE TOKENIZER [--full]     e.g. build/bin/tern DIR DIR/tokenizer.model
ORACLE holds a Hugging Face folder, tasks/NAME.jsonl[.xz] and expected/ (docs/evaluation.md). --full: the whole sets, too.
Standard library only. Exit code 1 if something differs by more than a tolerance.

In f64 one thing is not determined by the model: some tokens' values in the first layer's quantisers are exactly a half in
real numbers, since embeddings and norm weights are short bf16 fractions. Their last bit, and so the code, depends on the
order of operations and on the square root. tern's order is that of PyTorch on a CPU, whose square root is not always the
nearest double. Requests with such a token are found here with exact fractions of the weights, and listed apart."""
import fractions
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

F64, F64_SHARE = 1e-9, 0.99  # of each log-likelihood without a tie, and of so many of all
F32_MOST, F32_SHARE, F32_ALL = 1e-4, 0.85, 0.2  # so many of all within the first, all within the last
# Of whole sets, of which single items are not in ORACLE: ties move the mean of log-likelihoods a little, and in f32 other
# roundings may turn a few answers.
SET_PERPLEXITY, F32_METRIC = 1e-3, 0.002
NAMES = "arc_easy arc_challenge hellaswag openbookqa piqa winogrande boolq copa lambada_openai lambada_made mc_edge".split()
SETS = NAMES[:9]

failures = []


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Weights:
    """Rows of bf16 tensors, as exact fractions."""

    def __init__(self, path):
        self.file = open(path, "rb")
        size = struct.unpack("<Q", self.file.read(8))[0]
        self.header, self.begin = json.loads(self.file.read(size)), 8 + size

    def row(self, name, row=0):
        entry = self.header[name]
        assert entry["dtype"] == "BF16", f"{name}: expected BF16, got {entry['dtype']}"
        width = entry["shape"][-1]
        self.file.seek(self.begin + entry["data_offsets"][0] + 2 * width * row)
        halves = struct.unpack(f"<{width}H", self.file.read(2 * width))
        return [fractions.Fraction(struct.unpack("<f", struct.pack("<I", half << 16))[0]) for half in halves]


class Ties:
    """Tokens of which a value in a quantiser of the first layer is k + 1/2 in real numbers: the norms' divisors cancel."""

    def __init__(self, folder):
        self.weights, layer = Weights(folder / "model.safetensors"), "model.layers.0."
        block = self.weights.row(layer + "attn_norm.weight")
        norms = [self.weights.row(f"{layer}attn.{p}_proj.norm.weight") for p in "ifg"]
        self.norms = [[a * b for a, b in zip(block, norm)] for norm in norms]
        self.known = {}

    def of_token(self, token):
        if token not in self.known:
            row = self.weights.row("model.embeddings.weight", token)
            self.known[token] = any(self.of_row([a * b for a, b in zip(row, norm)]) for norm in self.norms)
        return self.known[token]

    @staticmethod
    def of_row(values):
        largest = max(abs(v) for v in values)
        return largest > 0 and any((127 * v / largest).denominator == 2 for v in values)

    def of_request(self, request):
        return any(self.of_token(token) for token in request["context_ids"] + request["continuation_ids"][:-1])


class Oracle:
    def __init__(self, tern, folder, tokenizer):
        self.tern, self.folder, self.tokenizer = tern, pathlib.Path(folder), tokenizer
        self.room, self.ties = pathlib.Path(tempfile.mkdtemp()), Ties(self.folder)
        self.f32, self.f64 = [], []  # differences of all requests

    def expected(self, name):
        return lines(self.folder / "expected" / f"{name}.jsonl")

    def run(self, tasks, *options, directory=None):
        """Samples by task, and the JSON of the metrics."""
        samples, output = self.room / "samples.jsonl", self.room / "output.json"
        command = [self.tern, "eval", "--checkpoint", self.folder, "--tokenizer", self.tokenizer, "--tasks", ",".join(tasks),
                   "--task-dir", directory or self.folder / "tasks", "--output", output, "--log-samples", samples, *options]  # fmt: skip
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}: {done.stderr}")
        by_task = {name: [] for name in tasks}
        for line in lines(samples):
            by_task[line["task"]].append(line)
        return by_task, json.loads(output.read_text())


def unequal_parts(got, want, suffix):
    """What is not equal, by name."""
    unequal = []
    if [g["doc_id"] for g in got] != [w["id"] for w in want]:
        unequal.append("items")
    for g, w in zip(got, want):
        for a, b in zip(g["requests"], w["requests"], strict=True):
            ids = b["context_ids"][1:] if suffix and b["context"] else b["context_ids"]
            if a["context_ids"] != ids or a["continuation_ids"] != b["continuation_ids"]:
                unequal.append(f"ids of {w['id']}")
            if a["is_greedy"] != b["is_greedy" + suffix]:
                unequal.append(f"is_greedy of {w['id']}")
        for key in w:
            if key.startswith(("prediction", "acc")) and key.endswith("_without_bos") == bool(suffix):
                mine = g.get(key.removesuffix(suffix))
                if mine != w[key]:
                    unequal.append(f"{key} of {w['id']}: {mine}, expected {w[key]}")
    return unequal


def compare(oracle, what, got, want, suffix=""):
    requests = [pair for g, w in zip(got, want) for pair in zip(g["requests"], w["requests"], strict=True)]
    numbers, tied = [], []
    f32 = "f32" in what
    for a, b in requests:
        difference = abs(a["loglikelihood"] - b["loglikelihood" + suffix])
        (tied if not f32 and oracle.ties.of_request(b) else numbers).append(difference)
    unequal = unequal_parts(got, want, suffix)
    # in f32 a rounding may fall differently anywhere: there only ids must be equal
    wrong = [u for u in unequal if not f32 or u.startswith(("ids", "items"))]
    if max(numbers) > (F32_ALL if f32 else F64) or max(tied, default=0) > F32_ALL or wrong:
        failures.append(what)
    if f32:
        oracle.f32 += numbers
    else:
        oracle.f64 += numbers + tied
    within = sum(n <= F32_MOST for n in numbers) / len(numbers)
    apart = f"{len(tied):>6}{max(tied):>9.2g}" if tied else " " * 15
    print(f"{what:<32}{len(numbers):>9}{max(numbers):>10.2g}{within:>10.1%}{apart}{len(unequal):>9}  {'; '.join(wrong[:3])}", flush=True)


def compare_metrics(what, got, want, tolerance=1e-9, perplexity=1e-9):
    worst, problems = 0, []
    for key, value in want.items():
        if key == "n":
            continue
        mine = got.get(f"{key},none")
        if mine is None:
            problems.append(f"no {key}")
        else:
            difference = abs(mine / value - 1) if key == "perplexity" else abs(mine - value)
            worst = max(worst, difference)
            if difference > (perplexity if key == "perplexity" else tolerance):
                problems.append(f"{key}: {mine}, expected {value}")
    if problems:
        failures.append(what)
    print(f"{what:<32}{len(want) - ('n' in want):>9}{worst:>10.2g}  {'; '.join(problems)}", flush=True)


def check_items(oracle):
    print(f"{'':<61}{'with exact ties':>15}")
    print(f"{'items 0 to 19':<32}{'requests':>9}{'largest':>10}{'in 1e-4':>10}{'':>6}{'largest':>9}{'unequal':>9}")
    metrics = json.loads((oracle.folder / "expected/metrics.json").read_text())["tasks"]
    for dtype in ("f64", "f32"):
        samples, output = oracle.run(NAMES, "--limit", "20", "--dtype", dtype)
        for name in NAMES:
            compare(oracle, f"{name} {dtype}", samples[name], oracle.expected(name))
        if dtype == "f64":
            for name in NAMES:
                compare_metrics(f"{name} {dtype} metrics", output["results"][name], metrics[name])
    samples, _ = oracle.run(NAMES, "--limit", "20", "--dtype", "f64", "--bos", "off")
    for name in NAMES:
        want = oracle.expected(name)
        if "loglikelihood_without_bos" in want[0]["requests"][0]:
            compare(oracle, f"{name} f64 without bos", samples[name], want, "_without_bos")
    cut = ["boolq", "lambada_openai"]
    samples, _ = oracle.run(cut, "--limit", "10", "--dtype", "f64", "--max-length", "16")
    for name in cut:
        compare(oracle, f"{name} f64 max length 16", samples[name], oracle.expected(f"{name}.max_length_16"))


def check_bare_requests(oracle):
    """Requests without a task are items of one context, one continuation and no gold."""
    want = oracle.expected("edge_requests")
    with open(oracle.room / "edge_requests.jsonl", "w", encoding="utf-8") as file:
        for item in want:
            request = item["requests"][0]
            made = {"id": item["id"], "contexts": [request["context"]], "continuations": [request["continuation"]]}
            print(json.dumps(made), file=file)
    for dtype in ("f64", "f32"):
        samples, _ = oracle.run(["edge_requests"], "--dtype", dtype, directory=oracle.room)
        compare(oracle, f"edge_requests {dtype}", samples["edge_requests"], want)


def check_all(oracle):
    exact = sum(n <= F64 for n in oracle.f64) / len(oracle.f64)
    print(f"{'all f64':<32}{len(oracle.f64):>9}{max(oracle.f64):>10.2g}{exact:>10.2%} within {F64:.0e}")
    if exact < F64_SHARE:
        failures.append("all f64")
    within = sum(n <= F32_MOST for n in oracle.f32) / len(oracle.f32)
    print(f"{'all f32':<32}{len(oracle.f32):>9}{max(oracle.f32):>10.2g}{within:>10.1%}")
    if within < F32_SHARE:
        failures.append("all f32")


def check_sets(oracle):
    print(f"\n{'whole sets':<32}{'metrics':>9}{'largest':>10}")
    want = json.loads((oracle.folder / "expected/metrics_full_sets.json").read_text())["tasks"]
    for part, options, tolerance in (
        ("with_bos", ("--dtype", "f64"), 1e-9),
        ("without_bos", ("--dtype", "f64", "--bos", "off"), 1e-9),
        ("with_bos_float32", ("--dtype", "f32"), F32_METRIC),
    ):
        _, output = oracle.run(SETS, *options)
        for name in SETS:
            if output["n-samples"][name]["effective"] != want[name]["n"]:
                failures.append(f"{name}: number of items")
            compare_metrics(f"{name} {part}", output["results"][name], want[name][part], tolerance, SET_PERPLEXITY)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--full"]
    if len(arguments) != 3:
        sys.exit(__doc__)
    oracle = Oracle(*arguments)
    check_items(oracle)
    check_bare_requests(oracle)
    check_all(oracle)
    if "--full" in sys.argv:
        check_sets(oracle)
    sys.exit(f"differs: {', '.join(failures)}" if failures else 0)


if __name__ == "__main__":
    main()
