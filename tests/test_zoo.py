"""Models by name and from a file."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from neurocompare import zoo
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.model import Model


def test_torchvision_loads_on_this_torch():
    names = zoo.model_names()
    assert {"alexnet", "vgg16", "resnet18"} <= set(names)


def test_a_model_with_random_weights_depends_on_its_seed_alone():
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (zoo.load_model("squeezenet1_1", pretrained=False, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.rand(1), before)  # the caller's random state is left alone
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert not first.net.training
    assert (first.preprocess.describe()["height"], first.name) == (224, "squeezenet1_1 (random weights)")
    assert "features.0" in first.layers


def test_weights_that_cannot_be_downloaded_are_reported(monkeypatch, tmp_path):
    def fails(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
    with pytest.raises(DataUnavailable, match=r"weights of 'squeezenet1_1' cannot be downloaded .* --random-weights"):
        zoo.load_model("squeezenet1_1")


def test_a_users_function_may_return_a_module_or_a_model(tmp_path):
    path = tmp_path / "models.py"
    path.write_text(
        "import torch\nfrom neurocompare import ImagePreprocess, Model\n"
        "def module():\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))\n"
        "def model():\n    return Model('mine', module(), ('1',), ImagePreprocess(2, 2))\n"
    )
    made = zoo.load_file(f"{path}:module", side=2)
    assert isinstance(made.net, nn.Sequential)
    assert (made.name, made.layers, made.preprocess.height) == ("module", ("1",), 2)
    own = zoo.load_file(f"{path}:model")
    assert isinstance(own, Model)
    assert (own.name, own.preprocess.height) == ("mine", 2)


def test_a_file_that_is_not_python_is_refused(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"\x00")
    with pytest.raises(InputError, match="is not a Python file"):
        zoo.load_file(f"{path}:f")
