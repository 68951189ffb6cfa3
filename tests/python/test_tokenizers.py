"""tern's ids compared with those of the `tokenizers` and `transformers` libraries.

TERN: path of the tern program. Run with pytest; needs tokenizers, transformers >= 4.57.
"""

import json
import os
import pathlib
import random
import struct
import subprocess

import pytest

import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models
from tokenizers import normalizers as n
from tokenizers import pre_tokenizers as p
from tokenizers.trainers import BpeTrainer

TERN = os.environ["TERN"]
ROOT = pathlib.Path(__file__).resolve().parents[2]
SHAKESPEARE = (ROOT / "configs/demo/tinyshakespeare.txt").read_text()

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
DEEPSEEK = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
    r""" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
WORDS = [
    " ", "  ", "     ", "          ", "\n", "\n\n", "\t", "\r\n", "\u2581", "\u2581 ", "\u2585",
    "the", "The", " king", "12", "3456789", ".", "...", '"', "'s", "'LL", "'\u017f", " 'Re", "é",
    "e\u0301", "\u0301", "a\u0300\u0323", "你", "世界", "日本ひらカタ", "a", "aaaa", "<0x41>", "<s>",
    "</s>", "<unk>", "<|endoftext|>", "\x7f", "\x01", "\u2047", "\ufeff", "\ufffd", "\uffff",
    "\U0001f600", "\U0010ffff", "\u2028", "\u180e", "\u0085", "\xa0", "\u3000", "word", ";", "(",
    "\0", "<tool_call>", "<thi", "éclair", "e\u0301clair", "world", " world ", "<l>", "<r>", "s>x",
    "<s>x", "KING", "of", " of ", "the end", "½", "Ⅷ", "٣", "가", "\u1100\u1161\u11a8", "ﬁ", "\u212b",
    "\u212a", "\u0308", "ไทย", "मराठी", "x_y", "\u200d", "👍🏽", "\n \n", "  \n", "!!", "#include<x>\r\n",
]  # fmt: skip


def hostile(seed, size):
    """Mixed text: words that break tokenizers, English, runs, characters of all scripts."""
    r = random.Random(seed)
    parts, length = [], 0
    while length < size:
        draw = r.random()
        if draw < 0.15:
            at = r.randrange(len(SHAKESPEARE) - 200)
            part = SHAKESPEARE[at : at + r.randrange(200)]
        elif draw < 0.2:
            part = r.choice([" ", "a", "\n", "1", "-", "の"]) * r.randrange(1, 200)
        elif draw < 0.25:
            low, high = r.choice([(0x20, 0x250), (0x370, 0x3000), (0x3000, 0xD800), (0x10000, 0x1F700)])
            part = chr(r.randrange(low, high))
        else:
            part = r.choice(WORDS)
        parts.append(part)
        length += len(part)
    return "".join(parts)


def multilingual(seed, count):
    r = random.Random(seed)
    words = ["Привет мир ", "你好，世界。", "héllo wörld ", "日本語テスト ", "مرحبا ", "αβγ δ ",
             "12345 67 ", "\n\n", "  ", "\t", "😀👍🏽 ", "e\u0301a\u0300 ", "ไทย "]  # fmt: skip
    return "".join(r.choice(words) for _ in range(count))


def texts(length):
    text = SHAKESPEARE[:500_000] + multilingual(1, 40_000)
    return [text[i : i + length] for i in range(0, len(text), length)]


def byte_level(*steps, normalizer=None, added=(), ignore_merges=False, special=("<|endoftext|>",)):
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    t.pre_tokenizer = p.Sequence(list(steps)) if len(steps) > 1 else steps[0]
    if normalizer:
        t.normalizer = normalizer
    t.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(vocab_size=2000, show_progress=False, special_tokens=list(special),
                         initial_alphabet=p.ByteLevel.alphabet())  # fmt: skip
    t.train_from_iterator(texts(2000), trainer)
    t.add_tokens(list(added))
    return t


def regex(pattern):
    return p.Split(Regex(pattern), "isolated"), p.ByteLevel(add_prefix_space=False, use_regex=False)


def sentencepiece(normalizer=None, pre_tokenizer=None, added=(), fallback=True, fuse=True):
    t = Tokenizer(models.BPE(byte_fallback=fallback, unk_token="<unk>", fuse_unk=fuse))
    if normalizer:
        t.normalizer = normalizer
    if pre_tokenizer:
        t.pre_tokenizer = pre_tokenizer
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256) if fallback]
    trainer = BpeTrainer(vocab_size=1500, show_progress=False, special_tokens=special)
    t.train_from_iterator(texts(40), trainer)
    content = json.loads(t.to_str())
    keep = lambda token: not token["content"].startswith("<0x")  # noqa: E731
    content["added_tokens"] = [token for token in content["added_tokens"] if keep(token)]
    t = Tokenizer.from_str(json.dumps(content))
    t.add_tokens(list(added))
    return t


REPLACE = n.Replace(" ", "\u2581")
PREPEND = n.Sequence([n.Prepend("\u2581"), REPLACE])
FLAGS = [
    AddedToken("world", single_word=True, normalized=False),
    AddedToken("<l>", lstrip=True, normalized=False),
    AddedToken("<r>", rstrip=True, normalized=True),
    AddedToken("    ", normalized=True),
    AddedToken("s>x", normalized=False),
]
KINDS = {
    "gpt2": lambda: byte_level(p.ByteLevel(add_prefix_space=False)),
    "gpt2_prefix": lambda: byte_level(p.ByteLevel(add_prefix_space=True)),
    "gpt2_flags": lambda: byte_level(p.ByteLevel(add_prefix_space=False), added=FLAGS),
    "llama3": lambda: byte_level(*regex(LLAMA3), ignore_merges=True),
    "qwen": lambda: byte_level(
        *regex(QWEN),
        normalizer=n.NFC(),
        added=[AddedToken("<tool_call>", normalized=False), AddedToken("éclair", normalized=True)],
    ),
    "smollm": lambda: byte_level(p.Digits(True), p.ByteLevel(add_prefix_space=False)),
    "deepseek": lambda: byte_level(
        p.Split(Regex(r"\p{N}{1,3}"), "isolated"),
        p.Split(Regex("[一-龥\u3040-ゟ゠-ヿ]+"), "isolated"),
        *regex(DEEPSEEK),
    ),
    "prepend": lambda: sentencepiece(PREPEND),
    "replace": lambda: sentencepiece(REPLACE, added=[AddedToken("\n\n", normalized=False)]),
    "prepend_added": lambda: sentencepiece(
        PREPEND, added=[AddedToken("KING", normalized=False), AddedToken("of", single_word=True)]
    ),
    "metaspace_always": lambda: sentencepiece(None, p.Metaspace(prepend_scheme="always")),
    "metaspace_first": lambda: sentencepiece(
        None, p.Metaspace(prepend_scheme="first", split=False), added=[AddedToken("KING")]
    ),
    "no_fallback": lambda: sentencepiece(None, p.Metaspace(), fallback=False),
    "no_fusing": lambda: sentencepiece(None, p.Metaspace(), fallback=False, fuse=False),
}


def tern(*arguments, data=None):
    run = subprocess.run([TERN, "tokenizer", *map(str, arguments)], input=data, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout


def encode(tokenizer, text):
    out = tern("encode", "--tokenizer", tokenizer, data=text.encode())
    return list(map(int, out.split()))


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), None)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_tokenizers(kind, tmp_path):
    t = KINDS[kind]()
    t.encode_special_tokens = True
    t.save(str(tmp_path / "tokenizer.json"))
    text = hostile(7, 1_000_000)
    expected, got = t.encode(text, add_special_tokens=False).ids, encode(tmp_path, text)
    assert first_difference(expected, got) is None and len(expected) == len(got)
    if kind in ("gpt2", "llama3", "smollm", "deepseek"):
        ids = " ".join(map(str, got)).encode()
        assert tern("decode", "--tokenizer", tmp_path, data=ids) == text.encode()


def export_text():
    r = random.Random(3)
    text = hostile(11, 1_000_000).replace("\u2581", "_").replace("\0", "0")
    ends = ["word", "!", "\n", "<s>", "9", ""]
    text += "".join(r.choice(ends) + " " * i + r.choice(ends) for i in range(1, 201))
    return text + "".join(r.choice("a b") for _ in range(20_000))


def same_ids_as_auto_tokenizer(tokenizer, folder):
    tern("export", "--tokenizer", tokenizer, "--out", folder)
    text = export_text()
    expected = encode(tokenizer, text)
    t = Tokenizer.from_file(str(folder / "tokenizer.json"))
    t.encode_special_tokens = True
    assert t.encode(text, add_special_tokens=False).ids == expected
    auto = transformers.AutoTokenizer.from_pretrained(folder)
    assert auto.pad_token == auto.eos_token and auto.padding_side == "left"
    assert auto.encode(text, add_special_tokens=False) == expected
    assert auto.decode(expected, clean_up_tokenization_spaces=False) == text
    return auto


def test_exported_model_in_transformers(tmp_path):
    model = tmp_path / "small.model"
    tern("train", "--vocab-size", 2000, "--out", model, ROOT / "configs/demo/tinyshakespeare.txt")
    auto = same_ids_as_auto_tokenizer(model, tmp_path / "export")
    assert (auto.bos_token, auto.eos_token, auto.unk_token) == ("<s>", "</s>", "<unk>")


def field(number, content):
    """One field of bytes of a protocol buffer."""
    return bytes([number << 3 | 2, len(content)]) + content


def test_exported_mistral_in_transformers(tmp_path):
    """As in Mistral's model: a space before every text, and runs of spaces that all have one score."""
    small, model = tmp_path / "small.model", tmp_path / "mistral.model"
    tern("train", "--vocab-size", 2000, "--out", small, ROOT / "configs/demo/tinyshakespeare.txt")
    score = bytes([2 << 3 | 5]) + struct.pack("<f", -1e9)
    runs = b"".join(field(1, field(1, ("\u2581" * n).encode()) + score) for n in range(2, 17))
    dummy_prefix = field(3, bytes([3 << 3, 1]))
    model.write_bytes(small.read_bytes() + runs + dummy_prefix)
    assert encode(model, "a") != encode(small, "a")
    assert len(encode(model, " " * 15)) == 1
    same_ids_as_auto_tokenizer(model, tmp_path / "export")
    given = os.environ.get("TERN_MISTRAL_MODEL")  # the model itself
    if given:
        same_ids_as_auto_tokenizer(given, tmp_path / "given")


def test_exported_json_in_transformers(tmp_path):
    KINDS["llama3"]().save(str(tmp_path / "tokenizer.json"))
    auto = same_ids_as_auto_tokenizer(tmp_path, tmp_path / "export")
    assert auto.eos_token == "<|endoftext|>"
    before = (tmp_path / "tokenizer.json").read_bytes()
    assert (tmp_path / "export/tokenizer.json").read_bytes() == before
