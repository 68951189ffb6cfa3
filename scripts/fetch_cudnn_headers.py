#!/usr/bin/env python3
"""Fetches the headers of cuDNN and of its C++ front end, for the attention plugin of the GPU backend
(scripts/cmake/cudnn.cmake).     scripts/fetch_cudnn_headers.py [FOLDER]

They are entries of NVIDIA's wheels on PyPI, whose licences come with them. pip says where a wheel is; of
each only those entries are downloaded, 2 MB in all. The folder, ~/.cache/tern/cudnn by default, appears
whole and may be deleted. Versions and the SHA-256 of what is extracted are pinned below. Exit status 1,
and one line, if it cannot be done: tern builds without them.
"""
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import venv
import zipfile

WHEELS = [  # package, folders of headers in it, SHA-256 of their files' names and contents in order
    ("nvidia-cudnn-cu13==9.19.0.56", "nvidia/cudnn/include/",
     "c63f95b013a152ee9cdfb66d7cf5aa774679c7e986aeb935a5ead3f256286acf"),
    ("nvidia-cudnn-frontend==1.32.0", "include/",
     "e1924248452c277e1e97558e357b5d151f7e04a4447c9b3ffa13ea62b2ccc01c"),
]
BLOCK = 1 << 18


class RemoteFile(io.RawIOBase):
    """A file behind a web address, read in blocks by range requests."""

    def __init__(self, address):
        self.address, self.at, self.blocks = address, 0, {}
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=30) as r:
            self.size = int(r.headers["Content-Length"])

    def seekable(self):
        return True

    def readable(self):
        return True

    def tell(self):
        return self.at

    def seek(self, offset, whence=io.SEEK_SET):
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def block(self, number):
        if number not in self.blocks:
            first, last = number * BLOCK, min((number + 1) * BLOCK, self.size) - 1
            ask = urllib.request.Request(self.address, headers={"Range": f"bytes={first}-{last}"})
            with urllib.request.urlopen(ask, timeout=30) as r:
                if r.status != 206:
                    raise OSError(f"{self.address}: expected a part of it, got status {r.status}")
                self.blocks[number] = r.read()
        return self.blocks[number]

    def readinto(self, to):
        if self.at >= self.size:
            return 0
        part = self.block(self.at // BLOCK)[self.at % BLOCK:][:len(to)]
        to[:len(part)] = part
        self.at += len(part)
        return len(part)


def pip(room):
    """This interpreter's, or one of an environment made for it."""
    if not subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        return [sys.executable, "-m", "pip"]
    venv.create(room / "pip", with_pip=True)
    return [room / "pip/bin/python", "-m", "pip"]


def address_of(package, command):
    """Of the package's wheel, which is not downloaded."""
    options = "--dry-run --ignore-installed --no-deps --only-binary=:all: --quiet --no-input --report -".split()
    done = subprocess.run([*command, "install", *options, package], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"pip: {package}: {(done.stderr.strip().splitlines() or ['no answer'])[-1]}")
    return json.loads(done.stdout)["install"][0]["download_info"]["url"]


def extract(address, folder, expected, to):
    with zipfile.ZipFile(io.BufferedReader(RemoteFile(address))) as wheel:
        names = sorted(n for n in wheel.namelist() if not n.endswith("/"))
        digest = hashlib.sha256()
        for name in names:
            licence = "/licenses/" in name or name.rsplit("/", 1)[-1].upper().startswith("LICENSE")
            if not name.startswith(folder) and not licence:
                continue
            content = wheel.read(name)
            if name.startswith(folder):
                digest.update(name.encode() + b"\0" + content)
                target = to / "include" / name[len(folder):]
            else:
                target = to / "licences" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    if digest.hexdigest() != expected:
        raise OSError(f"{address}: expected headers with SHA-256 {expected}, got {digest.hexdigest()}")


def main():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    target = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else cache + "/tern/cudnn")
    pins = "\n".join(digest for _, _, digest in WHEELS)
    if (target / "pins").is_file() and (target / "pins").read_text() == pins:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as room:
        whole = pathlib.Path(room) / "cudnn"
        command = pip(pathlib.Path(room))
        for package, folder, expected in WHEELS:
            extract(address_of(package, command), folder, expected, whole)
        (whole / "pins").write_text(pins)
        shutil.rmtree(target, ignore_errors=True)
        whole.rename(target)
    print(f"cudnn: headers are in {target}/include")


if __name__ == "__main__":
    try:
        main()
    except (OSError, LookupError, ValueError, subprocess.SubprocessError, zipfile.BadZipFile) as error:
        sys.exit(f"cudnn: no headers, tern builds without cuDNN's attention: {error}")
