"""Checkpoints: what is read, what is refused, and that the network then is the one that was saved."""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys

import numpy as np
import pytest
import torch
from torch import nn

from neurocompare.errors import InputError
from neurocompare.zoo.checkpoint import fill, read_checkpoint

has_safetensors = importlib.util.find_spec("safetensors") is not None
needs_safetensors = pytest.mark.skipif(not has_safetensors, reason="safetensors is not installed")


def small_net(*, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.Linear(5, 2))
    net[1].running_mean.uniform_()
    return net


WRAPPED = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
    "model": lambda state: {"model": state, "optimizer": {"state": {}, "lr": 0.1}},
    "parallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "compiled": lambda state: {"model": {f"_orig_mod.module.{k}": v for k, v in state.items()}},
    "old": lambda state: {k: v for k, v in state.items() if "num_batches" not in k},
}


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("suffix", [".pt", pytest.param(".safetensors", marks=needs_safetensors)])
def test_a_checkpoint_gives_back_the_network_that_was_saved(tmp_path, wrap, suffix):
    saved, net, path = small_net(seed=1), small_net(seed=2), tmp_path / f"weights{suffix}"
    content = WRAPPED[wrap](saved.state_dict())
    if suffix == ".pt":
        torch.save(content, path)
    elif any(not isinstance(v, torch.Tensor) for v in content.values()):
        pytest.skip("safetensors holds tensors alone")
    else:
        from safetensors.torch import save_file

        save_file(content, path)
    fill(net, read_checkpoint(path), what="net", source="weights")
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in saved.state_dict().items())
    assert not torch.equal(small_net(seed=2)[0].weight, net[0].weight)


def test_a_prefix_that_the_network_has_itself_stays():
    net, other = (nn.ModuleDict({"module": small_net(seed=s)}) for s in (1, 2))
    fill(net, other.state_dict(), what="net", source="weights")
    assert torch.equal(net["module"][0].weight, other["module"][0].weight)


def test_a_checkpoint_that_does_not_fit_says_where():
    state = small_net().state_dict()
    state = {k.replace("2.", "head."): v for k, v in state.items()} | {"0.bias": torch.zeros(7)}
    message = (
        "weights.pt does not fit 'net': it lacks 2 of 9 entries (2.weight, 2.bias); it has 2 that the network has not "
        "(head.weight, head.bias); 1 of another shape (0.bias is (7,), not (4,)). The network must be the one that was saved"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        fill(small_net(), state, what="'net'", source="weights.pt")
    many = {str(i): torch.zeros(1) for i in range(9)}
    with pytest.raises(InputError, match=re.escape("it has 9 that the network has not (0, 1, 2, ...)")):
        fill(small_net(), many, what="'net'", source="weights.pt")


RAN: list[str] = []


def _run() -> None:
    RAN.append("ran")


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (_run, ())


def _save(content):
    return lambda path: torch.save(content(), path)


UNREADABLE = {
    "whole model": (
        _save(small_net),
        r"holds a pickled object \(torch.nn.modules.container.Sequential\).*run any code",
    ),
    "whole model, wrapped": (_save(lambda: {"model": small_net()}), "holds a pickled object .*; save torch.save"),
    "code": (_save(Evil), "holds a pickled object"),
    "script": (lambda path: torch.jit.save(torch.jit.script(nn.ReLU()), path), "is a TorchScript archive"),
    "list": (_save(lambda: [1, 2]), r"needs a state dict .* holds a list; save torch.save\(model.state_dict"),
    "other names": (_save(lambda: {"net": {"a": torch.ones(1)}, "step": 3}), r"the entries 'net' \(a dict\), 'step'"),
    "no entries": (_save(dict), "holds nothing"),
    "empty": (lambda path: path.write_bytes(b""), "is no file of torch.save, or is damaged"),
    "text": (lambda path: path.write_text("hello, world"), "is no file of torch.save, or is damaged"),
    "zip": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), "is no file of torch.save, or is damaged"),
    "half": (
        lambda path: (torch.save(small_net().state_dict(), path), path.write_bytes(path.read_bytes()[:900])),
        "is no file of torch.save, or is damaged",
    ),
    "none": (lambda path: None, "there is no checkpoint"),
    "folder": (lambda path: path.mkdir(), "there is no checkpoint"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_state_dict_is_refused_and_never_run(tmp_path, kind):
    write, message = UNREADABLE[kind]
    write(tmp_path / "w.pt")
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path / "w.pt")
    assert not RAN


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_refused(tmp_path, seed):
    for start in (b"", b"\x80\x02", b"\x80\x02}q\x00"):  # as a pickle starts
        (tmp_path / "w.pt").write_bytes(start + np.random.default_rng(seed).bytes(200))
        with pytest.raises(InputError, match=r"w\.pt"):
            read_checkpoint(tmp_path / "w.pt")


def test_safetensors_broken_or_not_installed(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"none")
    if has_safetensors:
        with pytest.raises(InputError, match="is not a safetensors file, or is damaged"):
            read_checkpoint(path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(InputError, match=r"needs the safetensors package: pip install safetensors, or save torch.save"):
        read_checkpoint(path)
