"""The same quantities as the library computes, by other means: autograd, enumeration, explicit refits, other packages."""

from __future__ import annotations

import warnings

import numpy as np
import rsatoolbox
import torch
import xarray as xr
from sklearn.linear_model import Ridge
from torch import Tensor
from torch.nn import functional

from neurocompare.networks import Conv, LayeredNet

TORCH_ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "identity": torch.clone}


def plain_loss(name: str, output: Tensor, labels: Tensor) -> Tensor:
    """The mean loss of a batch, from torch's own functions."""
    if name == "cross_entropy":
        return functional.cross_entropy(output, labels)
    target = torch.eye(output.shape[1], dtype=output.dtype)[labels]
    return 0.5 * functional.mse_loss(output, target, reduction="sum") / len(labels)


def plain_forward(net: LayeredNet, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Pre-activations and output, from torch's own functions."""
    preactivations = []
    for layer in net.layers.values():
        if isinstance(layer, Conv):
            a = functional.conv2d(x, layer.weight, layer.bias, stride=2, padding=1)
        else:
            a = functional.linear(x.reshape(len(x), -1), layer.weight, layer.bias)
        preactivations.append(a)
        x = TORCH_ACTIVATIONS[layer.activation.name](a)
    return preactivations, x


def autograd(net: LayeredNet, x: Tensor, y: Tensor, loss: str) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Derivatives of the mean loss: by parameter name, and at each pre-activation."""
    preactivations, output = plain_forward(net, x)
    parameters = dict(net.named_parameters())
    found = torch.autograd.grad(plain_loss(loss, output, y), [*parameters.values(), *preactivations])
    return dict(zip(parameters, found[: len(parameters)], strict=True)), list(found[len(parameters) :])


def gradients(net: LayeredNet) -> dict[str, Tensor]:
    """A copy of what ``.grad`` holds now, by parameter name."""
    return {name: parameter.grad.clone() for name, parameter in net.named_parameters()}


def angle(a: Tensor, b: Tensor) -> float:
    """Between two tensors taken as vectors, in degrees."""
    return float(torch.rad2deg(torch.arccos(functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))))


def tau_a_by_enumeration(a: np.ndarray, b: np.ndarray) -> float:
    """The sum over all pairs of the product of the signs of their differences, over the number of pairs."""
    total = 0.0
    for i in range(len(a)):
        for j in range(i):
            total += np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])
    return total / (len(a) * (len(a) - 1) / 2)


def dimensionality_from_features(features: np.ndarray) -> float:
    """Participation ratio of the eigenvalues of the covariance, from the singular values of centred features."""
    variances = np.linalg.svd(features - features.mean(0), compute_uv=False) ** 2
    return float(variances.sum() ** 2 / (variances**2).sum())


def leave_one_out_by_refits(features: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """Mean squared leave-one-out error of each target, by fitting n times with an intercept."""
    errors = []
    for left_out in range(len(features)):
        rest = np.arange(len(features)) != left_out
        fit = Ridge(alpha=penalty, solver="svd").fit(features[rest], targets[rest])
        errors.append(fit.predict(features[[left_out]])[0] - targets[left_out])
    return np.square(errors).mean(0)


def toolbox_rdm(features: np.ndarray, method: str) -> np.ndarray:
    """A condensed RDM by rsatoolbox."""
    data = rsatoolbox.data.Dataset(np.asarray(features, float), obs_descriptors={"row": np.arange(len(features))})
    return rsatoolbox.rdm.calc_rdm(data, method=method, descriptor="row").get_vectors()[0]


def toolbox_crossnobis(values: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Crossnobis distances by rsatoolbox, from ``(repetitions, stimuli, neuroids)``."""
    repetitions, stimuli, neuroids = values.shape
    data = rsatoolbox.data.Dataset(
        values.reshape(-1, neuroids),
        obs_descriptors={
            "row": np.tile(np.arange(stimuli), repetitions),
            "run": np.repeat(np.arange(repetitions), stimuli),
        },
    )
    rdms = rsatoolbox.rdm.calc_rdm(data, method="crossnobis", descriptor="row", cv_descriptor="run", noise=precision)
    return rdms.get_vectors()[0]


def toolbox_comparison(a: np.ndarray, b: np.ndarray, method: str) -> float:
    """A comparison of two condensed RDMs by rsatoolbox."""
    first, second = (rsatoolbox.rdm.RDMs(np.asarray(v, float)[None]) for v in (a, b))
    return float(rsatoolbox.rdm.compare(first, second, method=method)[0, 0])


def toolbox_ceiling(data: xr.DataArray, method: str) -> tuple[float, float]:
    """Lower and upper noise ceiling between subjects by rsatoolbox."""
    stacked = rsatoolbox.rdm.RDMs(data.values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that for tau the pooled RDM is not optimal
        lower, upper = rsatoolbox.inference.boot_noise_ceiling(stacked, method=method)
    return float(lower), float(upper)
