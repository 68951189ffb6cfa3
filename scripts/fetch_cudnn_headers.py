#!/usr/bin/env python3
"""Fetches the headers of cuDNN and of its C++ front end, for the attention plugin of the GPU backend
(scripts/cmake/cudnn.cmake).     scripts/fetch_cudnn_headers.py [FOLDER]

They are entries of NVIDIA's wheels on PyPI, whose licences come with them; of each wheel only those
entries are downloaded, 2 MB in all. The folder, ~/.cache/tern/cudnn by default, appears whole
and may be deleted. Versions and the SHA-256 of what is extracted are pinned below. Exit status 1, and
one line, if it cannot be done: tern builds without them.
"""
import hashlib
import io
import os
import pathlib
import shutil
import sys
import tempfile
import urllib.request
import zipfile

FILES = "https://files.pythonhosted.org/packages/"
WHEELS = [  # address, folders of headers in it, SHA-256 of their files' names and contents in order
    (FILES + "a3/22/0b4b932655d17a6da1b92fa92ab12844b053bb2ac2475e179ba6f043da1e/"
     "nvidia_cudnn_cu13-9.19.0.56-py3-none-manylinux_2_27_x86_64.whl",
     "nvidia/cudnn/include/",
     "c63f95b013a152ee9cdfb66d7cf5aa774679c7e986aeb935a5ead3f256286acf"),
    (FILES + "11/02/660e2dd9f9d9f940e1641443771730612c3aadaafbc5ef7a93cc313d519d/"
     "nvidia_cudnn_frontend-1.32.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
     "include/",
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
        for address, folder, expected in WHEELS:
            extract(address, folder, expected, whole)
        (whole / "pins").write_text(pins)
        shutil.rmtree(target, ignore_errors=True)
        whole.rename(target)
    print(f"cudnn: headers are in {target}/include")


if __name__ == "__main__":
    try:
        main()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        sys.exit(f"cudnn: no headers, tern builds without cuDNN's attention: {error}")
