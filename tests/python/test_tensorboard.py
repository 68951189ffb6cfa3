"""Event files that `tern train` writes with logging.tensorboard, read by the tensorboard package."""

import json
import os
import pathlib
import subprocess

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TERN = os.environ["TERN"]

CONFIG = """
[run]
steps = 30
directory = "{room}"
[model]
hidden_size = 16
num_hidden_layers = 2
intermediate_size = 32
[[data.source]]
path = "{room}/corpus"
[optimizer]
lr = 1e-2
[batch]
tokens = 64
context = 16
[logging]
interval = 1
validation_interval = 10
validation_tokens = 256
sample_interval = 10
sample_prompts = ["ROMEO:"]
sample_tokens = 8
tensorboard = true
[checkpoint]
interval = 10
"""


def tern(*arguments, code=0):
    done = subprocess.run([TERN, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    room = tmp_path_factory.mktemp("tensorboard")
    text = room / "text.txt"
    text.write_text(pathlib.Path("configs/demo/tinyshakespeare.txt").read_text()[:60000])
    tern("tokenizer", "train", "--vocab-size", 320, "--out", room / "tokenizer.model", text)
    tern("prepare", "--tokenizer", room / "tokenizer.model", "--out", room / "corpus", "--validation", 0.1, text)
    config = room / "board.toml"
    config.write_text(CONFIG.format(room=room))
    tern("train", config, "--inject", "kill:step=25", code=-9)  # and on from step 20
    tern("train", config)
    return room / "board"


def test_every_value_of_the_metrics_is_on_the_board(run):
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    board.Reload()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for kind, key, tag in [
        ("train", "loss", "loss/train"),
        ("train", "lr", "optimizer/lr"),
        ("train", "grad_norm", "optimizer/grad_norm"),
        ("val", "loss", "loss/validation"),
        ("val", "bits_per_byte", "bits_per_byte/validation"),
    ]:
        want = {line["step"]: line[key] for line in lines if line["t"] == kind}
        got = [(event.step, event.value) for event in board.Scalars(tag)]
        assert [step for step, _ in got] == sorted(want), tag  # those after the kill once
        for step, value in got:
            assert value == pytest.approx(want[step], rel=1e-6), (tag, step)
    samples = [line for line in lines if line["t"] == "sample"]
    texts = board.Tensors("sample/0")
    # TensorBoard takes back scalars, but keeps the texts of steps that were done again
    assert sorted({event.step for event in texts}) == [line["step"] for line in samples]
    assert texts[0].tensor_proto.string_val[0].decode().startswith("ROMEO:")
    assert board.SummaryMetadata("sample/0").plugin_data.plugin_name == "text"
