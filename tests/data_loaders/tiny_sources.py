"""Tiny files in each source's own layout, and a server that misbehaves on request."""

from __future__ import annotations

import hashlib
import http.server
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from scipy.spatial.distance import squareform

from data_loaders._files import DataFile


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def publish(root: Path, monkeypatch, module, contents: dict[str, bytes], url: str | None = None) -> None:
    """Write a dataset's files below ``root`` and make them the ones that ``module`` knows."""
    dataset = module.__name__.rpartition(".")[2]
    files = {}
    for name, content in contents.items():
        path = root / dataset / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        files[name] = DataFile(f"{dataset}/{name}", sha256(content), url and f"{url}/{dataset}/{name}")
    monkeypatch.setattr(module, "FILES", files)


def jpeg(colour: tuple[int, int, int], size: int = 8) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def squares(rng: np.random.Generator, subjects: int, n: int) -> np.ndarray:
    return np.stack([squareform(rng.random(n * (n - 1) // 2)) for _ in range(subjects)])


def cell(items: list) -> np.ndarray:
    array = np.empty((1, len(items)), dtype=object)
    array[0] = items
    return array


def mat(**variables: np.ndarray) -> bytes:
    stream = io.BytesIO()
    savemat(stream, variables)
    return stream.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tar_of(members: dict[str, bytes], compression: str = "") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{compression}") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def cowley_files(raw: np.ndarray, session: str = "210325", folder: str = "") -> dict[str, bytes]:
    """A session as the source has it, its images brighter by number and zipped in reverse order."""
    n = raw.shape[1]
    images = {f"{folder}image{i:04d}.jpg": jpeg((40 * i,) * 3) for i in range(n, 0, -1)}
    members = {folder: b"", **images} if folder else images
    responses = {"responses_raw": raw} if raw.ndim == 3 else {"responses_repeat_averaged": raw}
    return {
        f"images/images_{session}.zip": zip_of(members),
        **{f"{name}/responses_{session}.npy": npy(values) for name, values in responses.items()},
    }


def cifar_members(prefix: str = "") -> dict[str, bytes]:
    """Four training and two test images, each of one colour."""
    colours = {"train/cat/0001": 250, "train/airplane/0000": 10, "train/cat/0000": 200, "train/truck/0003": 90}
    colours |= {"test/truck/0000": 30, "test/airplane/0000": 130}
    members = {f"{prefix}{name}.jpg": jpeg((red, 0, 0), 32) for name, red in colours.items()}
    return {f"{prefix}README.md": b"about", **members}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files``; ``server.ranges`` honours Range; ``server.cut`` ends each answer after so many bytes."""

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        content = self.server.files.get(self.path)
        if content is None:
            return self.send_error(404)
        start = 0
        if self.server.ranges and (asked := self.headers.get("Range")):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206)
            claimed = start + self.server.lie
            self.send_header("Content-Range", f"bytes {claimed}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content) if self.server.cut is None else start + self.server.cut
        self.wfile.write(content[start:end])

    def log_message(self, *args):
        pass
