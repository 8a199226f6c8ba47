"""Models that users have: torchvision's by name, and their own from a Python file. The only importer of torchvision.

torchvision's code is BSD-3-Clause; its ImageNet weights are downloaded by torchvision itself (sha256 prefix checked) and
carry the terms of ImageNet (non-commercial research).
"""

from __future__ import annotations

import importlib.util
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from neurocompare.errors import DataUnavailable, InputError, unknown_name
from neurocompare.model import Model, leaf_layers
from neurocompare.stimuli import ImagePreprocess

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NMS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
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


def model_names() -> list[str]:
    """Names that ``load_model`` takes: torchvision's image classification models."""
    models = torchvision().models
    return list(models.list_models(module=models))


def load_model(name: str, *, pretrained: bool = True, seed: int = 0) -> Model:
    """A torchvision classification model with all its leaf layers.

    Args:
        name: one of ``model_names()``.
        pretrained: with torchvision's default ImageNet weights; random weights otherwise.
        seed: of random weights.
    Raises:
        InputError: no such name.
        DataUnavailable: the weights cannot be downloaded.
    """
    models = torchvision().models
    if name not in model_names():
        raise unknown_name("model", name, model_names())
    weights = models.get_model_weights(name).DEFAULT
    transforms = weights.transforms()
    side = transforms.crop_size[0]
    preprocess = ImagePreprocess(side, side, tuple(transforms.mean), tuple(transforms.std))
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = models.get_model(name, weights=weights if pretrained else None)
    except (urllib.error.URLError, OSError) as error:
        raise DataUnavailable(
            f"the weights of {name!r} cannot be downloaded ({error}); connect to the network, or use --random-weights"
        ) from error
    label = name if pretrained else f"{name} (random weights)"
    return Model(label, net.eval(), leaf_layers(net), preprocess, provenance={"source": "torchvision"})


def load_file(target: str, *, side: int = 224) -> Model:
    """A user's own model: ``path/to/file.py:function``. The file is executed.

    The function takes no arguments and returns a ``Model``, or any torch module; a module is probed at its leaf layers with
    RGB inputs of ``side`` pixels, normalised as for ImageNet.

    Raises:
        InputError: no such file or function, or it returns something else.
    """
    path, _, function = target.rpartition(":")
    file = Path(path)
    if not file.is_file():
        raise InputError(f"there is no file {path!r}; a model of your own is given as path/to/file.py:function")
    made = _function(file, function)()
    if isinstance(made, Model):
        return made
    if not isinstance(made, nn.Module):
        raise InputError(f"{target} returned a {type(made).__name__}; it must return a torch.nn.Module or a Model")
    preprocess = ImagePreprocess(side, side, IMAGENET_MEAN, IMAGENET_STD)
    return Model(function, made.eval(), leaf_layers(made), preprocess, provenance={"source": file.name})


def _function(file: Path, name: str) -> Callable[[], object]:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise InputError(f"{file} is not a Python file; a model of your own is given as path/to/file.py:function")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    functions = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
    if name not in functions:
        raise unknown_name(f"function of {file}", name, functions)
    return getattr(module, name)
