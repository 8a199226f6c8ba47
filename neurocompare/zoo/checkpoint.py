"""A user's own weights: a state dict read from a file and put into a network.

Files are never unpickled freely, since a pickle may run any code when it is opened: ``torch.load(weights_only=True)`` builds
tensors, containers and plain values, and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from neurocompare.errors import InputError

WRAPPERS = (
    "state_dict",
    "model",
    "model_state",
    "model_state_dict",
)  # entries under which training scripts keep the state dict
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
SHOWN = 3  # entries of each kind in an error
_SAVE = "save torch.save(model.state_dict(), path) where the model's code is at hand, and give that file"
_REFUSED = torch.serialization.pickle.UnpicklingError  # what weights_only raises; nothing here unpickles
# What torch raises on damaged files; found by damaging some.
_BROKEN = (
    *(RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError, OverflowError),
    struct.error,
)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict in a file of ``torch.save`` or of safetensors (``.safetensors``), on the CPU.

    A dict that keeps it under ``"state_dict"`` or ``"model"`` is accepted, whatever else it holds, as long as that is
    tensors, containers and plain values (an ``argparse.Namespace`` too).

    Returns:
        entry name -> tensor, as in the file.
    Raises:
        InputError: no such file, no state dict in it, a pickled object in it, or safetensors is not installed.
    """
    if not path.is_file():
        raise InputError(
            f"there is no checkpoint {str(path)!r}; give a file that torch.save(model.state_dict(), path) made"
        )
    content: Any = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(
            f"a checkpoint needs a state dict (names and tensors), bare or as {' or '.join(map(repr, WRAPPERS))}, "
            f"but {path} holds {_said(content)}; {_SAVE}"
        )
    return dict(content)


def fill(net: nn.Module, state: Mapping[str, Tensor], *, what: str, source: str) -> None:
    """Put a state dict into a network, every entry of either in the other; ``module.`` before all names is dropped.

    Args:
        net: takes the values.
        state: entry name -> tensor.
        what: how errors call the network.
        source: how errors call the state dict.
    Raises:
        InputError: entries are missing, unexpected or of another shape.
    """
    own = net.state_dict()
    state = _without_prefix(state, own)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        faults = _faults(own, state) or [str(error)]
        raise InputError(
            f"{source} does not fit {what}: {'; '.join(faults)}. The network must be the one that was saved: "
            "give its class, size and number of classes as then, or rename the entries"
        ) from error


def _read_torch(path: Path) -> object:
    # Training scripts keep their arguments beside the weights; torch before 2.5 has no such list, and refuses those.
    allow = getattr(torch.serialization, "safe_globals", lambda _: contextlib.nullcontext())
    try:
        with allow([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except _REFUSED as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        if name is None:
            raise InputError(f"{path} is no file of torch.save, or is damaged; {_SAVE}") from error
        raise InputError(
            f"{path} holds a pickled object ({name[1]}), as torch.save(model, path) makes; only state dicts are loaded, "
            f"beside plain values, since to unpickle an object can run any code; {_SAVE}"
        ) from error
    except _BROKEN as error:
        if "TorchScript" in str(error):
            raise InputError(f"{path} is a TorchScript archive, which holds code; {_SAVE}") from error
        raise InputError(f"{path} is no file of torch.save, or is damaged; {_SAVE}") from error


def _read_safetensors(path: Path) -> object:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise InputError(f"{path} needs the safetensors package: pip install safetensors, or {_SAVE}") from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file, or is damaged ({error}); write it again") from error


def _said(content: object) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    entries = [f"{key!r} (a {type(value).__name__})" for key, value in content.items() if not isinstance(value, Tensor)]
    return f"the entries {_some(entries)}" if entries else "nothing"


def _without_prefix(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with the prefixes that all of its names share and none of the network's has taken off."""
    for prefix in 2 * PREFIXES:
        if all(name.startswith(prefix) for name in state) and not any(name.startswith(prefix) for name in own):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return dict(state)


def _faults(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and not is_lazy(value) and value.shape != state[name].shape
    ]
    faults = {
        f"it lacks {len(missing)} of {len(own)} entries": missing,
        f"it has {len(unexpected)} that the network has not": unexpected,
        f"{len(shapes)} of another shape": shapes,
    }
    return [f"{fault} ({_some(names)})" for fault, names in faults.items() if names]


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
