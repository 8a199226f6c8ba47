"""Tiny datasets in each source's own layout, and servers on the loopback interface that misbehave on request."""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from tiny_sources import Handler, cell, cifar_members, cowley_files, jpeg, mat, publish, squares, tar_of

from data_loaders import _download, cichy2014, cifar10_jpeg, cowley2023, kriegeskorte2008

REAL_MIRROR = os.environ.get("NEUROCOMPARE_MIRROR", "")


@pytest.fixture(autouse=True)
def _no_hosts_remembered():
    _download.unreachable.clear()
    yield
    _download.unreachable.clear()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no mirror."""
    root = tmp_path / "cache"
    monkeypatch.setenv("NEUROCOMPARE_CACHE", str(root))
    monkeypatch.delenv("NEUROCOMPARE_MIRROR", raising=False)
    return root


@pytest.fixture
def mirror(tmp_path, cache, monkeypatch):
    """An empty mirror folder, named by the environment."""
    root = tmp_path / "mirror"
    root.mkdir()
    monkeypatch.setenv("NEUROCOMPARE_MIRROR", str(root))
    return root


@pytest.fixture
def real_mirror(tmp_path, monkeypatch):
    """The mirror that the environment names, for tests of the real data; the cache is empty."""
    if not (Path(REAL_MIRROR) / "kriegeskorte2008").is_dir():
        pytest.skip("NEUROCOMPARE_MIRROR names no folder that holds the real data")
    monkeypatch.setenv("NEUROCOMPARE_CACHE", str(tmp_path / "cache"))
    return Path(REAL_MIRROR)


@pytest.fixture
def dead_url():
    """The base URL of a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def server():
    """A server with ``files`` by path, ``url``, and the ``(path, range)`` of each request in ``requests``."""
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.files, httpd.requests, httpd.ranges, httpd.cut, httpd.lie = {}, [], True, None, 0
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    httpd.handle_error = lambda *_: None  # a client that hangs up is part of the test
    thread = threading.Thread(target=functools.partial(httpd.serve_forever, poll_interval=0.01))
    thread.start()
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def tiny_kriegeskorte(mirror, monkeypatch):
    """Five images, three subjects, two sessions; returns the squares ``(3, 2, 5, 5)`` and monkeys' condensed RDM."""
    rng = np.random.default_rng(0)
    rdms = squares(rng, 6, 5).reshape(3, 2, 5, 5).astype(np.float32)
    monkey, human = rng.random((1, 10)), rng.random((1, 10))
    sessions = np.empty((1, 3, 2), dtype=[("RDM", object), ("name", object)])
    for subject, session in np.ndindex(3, 2):
        name = f"hIT | {'ABC'[subject] * 2} | Session: {session + 1}"
        sessions[0, subject, session] = (rdms[subject, session], name)
    stimuli = np.empty((1, 5), dtype=[("category", object), ("natural", object), ("image", object)])
    for i in range(5):
        stimuli[0, i] = (f"kind {i}", np.uint8(i < 3), np.full((6, 6, 3), 10 * i, np.uint8))
    published = np.empty((1, 2), dtype=[("name", object), ("RDM", object)])
    published[0, 0], published[0, 1] = ("mIT_674neurons", monkey), ("hITvisStim_316vx", human)
    labels = ["animate", "inanim", "human", "nonhumani", "body", "face", "natObj", "artiObj", "monkeyape", "rand24"]
    flags = rng.integers(0, 2, (5, len(labels))).astype(np.uint8)
    supplement = mat(
        stimuli_92objs=stimuli, RDMs_mIT_hIT_fig1=published, categoryLabels=cell(labels), categoryVectors=flags
    )
    names = ("92_brainRDMs.mat", "Kriegeskorte_Neuron2008_supplementalData.mat")
    publish(mirror, monkeypatch, kriegeskorte2008, dict(zip(names, (mat(RDMs=sessions), supplement), strict=True)))
    return rdms, monkey, flags


@pytest.fixture
def tiny_cichy(mirror, monkeypatch):
    """Four images, two subjects; returns the squares of EVC."""
    values = squares(np.random.default_rng(1), 2, 4)
    flat = gzip.compress(json.dumps({"data": values.ravel().tolist(), "shape": list(values.shape)}).encode())
    # Files in another order than their numbers.
    images = {f"images/92images_{i:05d}.jpg": jpeg((60 * i, 0, 0)) for i in (3, 1, 4, 2)}
    rdms = {f"92images_fmri_{region}_RDMs.gzip": flat for region in ("EVC", "IT")}
    publish(mirror, monkeypatch, cichy2014, {**images, **rdms})
    return values


@pytest.fixture
def tiny_cowley(mirror, monkeypatch):
    """Publishes a session made from given responses."""

    def make(raw: np.ndarray, session: str = "210325", folder: str = "") -> None:
        publish(mirror, monkeypatch, cowley2023, cowley_files(raw, session, folder))

    return make


@pytest.fixture
def tiny_cifar(mirror, monkeypatch):
    """The tar.xz of a tiny CIFAR-10 in the mirror, with no other source."""
    publish(mirror, monkeypatch, cifar10_jpeg, {"cifar10_jpeg.tar.xz": tar_of(cifar_members(), "xz")})
    return mirror / "cifar10_jpeg" / "cifar10_jpeg.tar.xz"
