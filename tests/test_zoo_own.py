"""Models of the user's own: from a file, with a checkpoint, with other inputs; and the `score` command over them."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from problems import images
from torch import nn

from neurocompare import ImagePreprocess, Model, cli, probe, zoo
from neurocompare.errors import InputError
from neurocompare.train import RECORD

MODEL_FILE = """
import torch
from torch import nn

from neurocompare import ImagePreprocess, Model

def module():
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))

def model():
    return Model("mine", module(), ("0",), ImagePreprocess(32, 32))

class Sized(nn.Module):
    def __init__(self, width):
        super().__init__()

class Outputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act, self.pair = nn.Conv2d(3, 4, 3, 2), nn.ReLU(), Pair()

    def forward(self, x):
        first = self.act(self.conv(x))
        return {"logits": self.pair(self.act(first - 1)), "loss": None}

class Pair(nn.Module):
    def forward(self, x):
        return x.flatten(1), x.sum()
"""


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MODEL_FILE)
    return path


def test_a_users_function_may_return_a_module_or_a_model(file):
    made = zoo.load_file(f"{file}:module")
    assert isinstance(made.net, nn.Sequential) and not made.net.training
    assert (made.name, made.layers, made.preprocess.height) == ("module", ("0", "1", "2", "4"), 224)
    own = zoo.load_file(f"{file}:model")
    assert isinstance(own, Model)
    assert (own.name, own.preprocess.height) == ("mine", 32)


def test_a_file_that_is_not_python_is_refused(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"\x00")
    with pytest.raises(InputError, match="is not a Python file"):
        zoo.load_file(f"{path}:f")


def test_a_function_that_wants_arguments_is_refused(file):
    with pytest.raises(
        InputError, match=r"Sized of .* cannot be called without width; give a function without arguments"
    ):
        zoo.load_file(f"{file}:Sized")


def test_a_file_may_import_torchvision_whatever_its_build(tmp_path, file, monkeypatch):
    loads = []
    torchvision = zoo.torchvision
    monkeypatch.setattr(zoo, "torchvision", lambda: loads.append("loaded") or torchvision())
    zoo.load_file(f"{file}:module")
    assert loads == []  # it takes seconds
    path = tmp_path / "theirs.py"
    path.write_text("import torchvision\ndef f():\n    return torchvision.models.squeezenet1_1()\n")
    assert "features.0" in zoo.load_file(f"{path}:f").layers
    assert loads == ["loaded"]


def test_outputs_may_be_dicts_and_a_module_may_be_called_twice(file):
    model, stimuli = zoo.load_file(f"{file}:Outputs"), images(6)
    model = zoo.with_preprocess(model, side=8)
    found = probe(model, stimuli)
    assert list(found) == ["conv", "act", "pair"]  # of a tuple its first
    x = torch.from_numpy(np.stack([model.preprocess(stimuli.open(i)) for i in stimuli.ids]))
    with torch.inference_mode():
        last = (model.net.conv(x).relu() - 1).relu().flatten(1).double().numpy()
    np.testing.assert_allclose(found["act"].gram, last @ last.T, rtol=1e-5)
    np.testing.assert_allclose(found["pair"].gram, last @ last.T, rtol=1e-5)


def test_a_checkpoint_changes_name_and_provenance(file, tmp_path):
    path = tmp_path / "best.pt"
    torch.save({k: v + 1 for k, v in zoo.load_file(f"{file}:model").net[:2].state_dict().items()}, path)
    file.write_text(MODEL_FILE + "\ndef body():\n    return module()[:2]\n")
    plain, loaded = zoo.load_file(f"{file}:body"), zoo.load_file(f"{file}:body", checkpoint=path)
    assert (loaded.name, loaded.provenance) == ("body (best.pt)", {"source": "mine.py", "checkpoint": "best.pt"})
    assert loaded.fingerprint() != plain.fingerprint()
    assert torch.equal(loaded.net[1].running_var, plain.net[1].running_var + 1)


def test_a_checkpoint_for_a_model_by_name_needs_no_download(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("downloads"))
    saved = zoo.load_model("squeezenet1_1", pretrained=False, seed=3)
    torch.save(saved.net.state_dict(), tmp_path / "w.pt")
    loaded = zoo.load_model("squeezenet1_1", checkpoint=tmp_path / "w.pt")
    assert (loaded.name, loaded.fingerprint()) == ("squeezenet1_1 (w.pt)", saved.fingerprint())


def test_inputs_can_be_changed(file):
    model = zoo.load_file(f"{file}:module")
    changed = zoo.with_preprocess(model, side=2, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    image = Image.new("RGB", (9, 7), (51, 102, 153))
    np.testing.assert_allclose(changed.preprocess(image)[:, 1, 0], [0.2, 0.8, 2.4], rtol=1e-5)
    assert zoo.with_preprocess(model) is model
    assert zoo.with_preprocess(model, side=64).preprocess == replace(model.preprocess, height=64, width=64)
    assert zoo.with_preprocess(model, mean=(0.5,), std=(1,)).preprocess(image).shape == (1, 224, 224)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean": (0.5,)}, "3 channels, or one for grey; there came 1 for the mean and 3 .*; give both"),
        ({"mean": (0.5, 0.5), "std": (1, 1)}, "3 channels, or one for grey; there came 2"),
        ({"std": (1, 0, 1)}, "std above 0"),
        ({"mean": (float("nan"), 0, 0)}, "mean must be finite"),
        ({"side": 0}, "side must be at least 1 pixel; there came 0"),
    ],
)
def test_inputs_that_cannot_be_are_refused(file, settings, message):
    with pytest.raises(InputError, match=message):
        zoo.with_preprocess(zoo.load_file(f"{file}:module"), **settings)


def test_inputs_of_another_kind_are_not_changed(file):
    class Sounds(ImagePreprocess.__base__):
        pass

    model = replace(zoo.load_file(f"{file}:module"), preprocess=Sounds())
    with pytest.raises(InputError, match="'module' prepares its inputs by a Sounds; set them there"):
        zoo.with_preprocess(model, side=3)


@pytest.fixture
def score(monkeypatch, capsys):
    """The `score` command on the simulated RDM: exit code, layers that were scored, standard error."""

    def run(*arguments) -> tuple[int, list[str], str]:
        command = ["neurocompare", "score", *map(str, arguments), "-b", "simulated.rdm"]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), re.findall(r"^│ (\S+)", captured.out, re.MULTILINE), captured.err

    return run


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (("all",), ["conv", "act", "pair"]),
        ((), ["conv", "act", "pair"]),
        (("*c*",), ["conv", "act"]),
        (("pair", "co*"), ["conv", "pair"]),
    ],
)
def test_layers_by_glob(score, file, layers, expected):
    options = [part for pattern in layers for part in ("--layers", pattern)]
    assert score(f"{file}:Outputs", "--side", 16, *options)[:2] == (0, expected)


def test_the_command_takes_weights_and_inputs(score, file, tmp_path):
    torch.save(zoo.load_file(f"{file}:Outputs").net.state_dict(), tmp_path / "w.pt")
    options = ("--checkpoint", tmp_path / "w.pt", "--side", 16, "--mean", "0,0,0", "--std", "1,.5,1")
    assert score(f"{file}:Outputs", *options)[:2] == (0, ["conv", "act", "pair"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{file}:Outputs", "-l", "cnv"), "unknown layer of 'Outputs' 'cnv'; did you mean 'conv'"),
        (("{file}:Outputs", "--mean", "a,b"), "--mean needs numbers with commas between, .*; there came 'a,b'"),
        (("{file}:Outputs", "--std", "0,0,0"), "std above 0"),
        (("{file}:Outputs", "--checkpoint", "{file}"), "mine.py is no file of torch.save, or is damaged"),
        (("{file}:Outputs", "--checkpoint", "{run}/w.pt", "--random-weights"), "leave out one of them"),
        (("{run}", "--side", "3"), "is a run folder, which holds weights and preprocessing; leave out"),
        (("{file}",), "is neither a run folder .* nor path/to/file.py:function"),
        (("{run}/w.pt",), "is neither .*path/to/file.py:function --checkpoint FILE"),
        (("org/net",), "is neither"),
        (("timm/rsenet18", "--random-weights"), "unknown model 'timm/rsenet18'|need the package 'timm'"),
    ],
)
def test_what_does_not_go_together_is_one_line(score, file, tmp_path, arguments, message):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / RECORD).write_text("{}")
    (tmp_path / "run" / "w.pt").write_bytes(b"")
    filled = [a.replace("{file}", str(file)).replace("{run}", str(tmp_path / "run")) for a in arguments]
    code, _, err = score(*filled)
    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert re.search(message, lines[0]), lines[0]
