#!/usr/bin/env python3
"""Speed of `tern tokenizer encode` beside the PyPI package tokenizers, one thread each, CPU seconds, same text.
    scripts/bench_tokenizers.py TERN TEXT [TOKENIZER...]     tokenizers are trained here; more: .model, tokenizer.json
TEXT is cut into documents of 100,000 characters for the package; tern reads it whole. Its time includes printing ids."""
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

os.environ.update(TERN=sys.argv[1], TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/python"))
import test_tokenizers as made  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402


def tern_seconds(tokenizer, data):
    """CPU seconds of the child, the ids it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.argv[1], "tokenizer", "encode", "--tokenizer", tokenizer], input=data,
                          stdout=subprocess.PIPE, check=True)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main():
    text = pathlib.Path(sys.argv[2]).read_text()
    data = text.encode()
    pieces = [text[i : i + 100_000] for i in range(0, len(text), 100_000)]
    room = pathlib.Path(tempfile.mkdtemp())
    tokenizers = []
    for kind in ("gpt2", "llama3", "qwen", "prepend"):
        tokenizers.append((kind, room / f"{kind}.json"))
        made.KINDS[kind]().save(str(tokenizers[-1][1]))
    tokenizers += [(pathlib.Path(given).name, pathlib.Path(given)) for given in sys.argv[3:]]
    print(f"{len(data) / 1e6:.1f} MB of text\n{'tokenizer':<20}{'tern MB/s':>12}{'tokenizers MB/s':>18}{'ratio':>8}")
    for name, path in tokenizers:
        load, _ = tern_seconds(path, b"")
        encode, _ = tern_seconds(path, data)
        ours = len(data) / 1e6 / (encode - load)
        if path.suffix != ".json":
            print(f"{name:<20}{ours:>12.1f}")
            continue
        library = Tokenizer.from_file(str(path))
        start = time.process_time()
        for piece in pieces:
            library.encode(piece, add_special_tokens=False)
        theirs = len(data) / 1e6 / (time.process_time() - start)
        print(f"{name:<20}{ours:>12.1f}{theirs:>18.2f}{ours / theirs:>8.1f}", flush=True)


main()
