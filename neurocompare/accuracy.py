"""How much of a split a network classifies rightly, and how stored inputs become those of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurocompare.dataset import Dataset, Split, Tasks
from neurocompare.networks import LayeredNet
from neurocompare.rules import Rule
from neurocompare.stimuli import ImagePreprocess, Preprocess


def accuracy(net: LayeredNet, rule: Rule, split: Split, preprocess: Preprocess, batch_size: int = 1000) -> float:
    """Fraction of a split that the network's largest output, as the rule infers it, classifies rightly."""
    return float((outputs(net, rule, split, preprocess, batch_size).argmax(1) == split.labels).mean())


@torch.inference_mode()
def outputs(net: LayeredNet, rule: Rule, split: Split, preprocess: Preprocess, batch_size: int = 1000) -> np.ndarray:
    """What the network says of a split, as the rule infers it, ``(n, outputs)``."""
    net.eval()
    first = next(net.parameters())
    scale = scaler(preprocess, first.device, first.dtype)
    found = []
    for start in range(0, len(split), batch_size):
        *_, output = rule.activities(net, scale(split.inputs[start : start + batch_size])).values()
        found.append(output.cpu().numpy())
    return np.concatenate(found)


def accuracies(said: np.ndarray, labels: np.ndarray, tasks: Tasks) -> dict[str, float]:
    """Of several tasks, the fraction of items with a label in it that a task's largest output classifies rightly.

    Args:
        said: ``(n, outputs)``.
        labels: ``(n,)``; see ``Tasks``.
    """
    classes = np.asarray(tasks.meanings)[labels]  # (n, tasks)
    found = {}
    for name, start, size, right in zip(tasks.names, tasks.starts, tasks.sizes, classes.T, strict=True):
        has = right >= 0
        found[name] = float((said[has, start : start + size].argmax(1) == right[has]).mean())
    return found


def results_of_test(net: LayeredNet, rule: Rule, data: Dataset) -> dict[str, Any]:
    """For a run's record, the accuracy on the test split; with several tasks of each, and their mean."""
    if data.tasks is None:
        return {"test_accuracy": round(accuracy(net, rule, data.test, data.preprocess), 6)}
    each = accuracies(outputs(net, rule, data.test, data.preprocess), data.test.labels, data.tasks)
    rounded = {task: round(value, 6) for task, value in each.items()}
    return {"test_accuracy": round(float(np.mean(list(each.values()))), 6), "test_accuracy_by_task": rounded}


def scaler(
    preprocess: Preprocess, device: torch.device, dtype: torch.dtype = torch.float32
) -> Callable[[np.ndarray], Tensor]:
    """From stored inputs to those of the network: uint8 images as ``ImagePreprocess`` scales the same images."""

    def as_they_are(inputs: np.ndarray) -> Tensor:
        return torch.from_numpy(inputs).to(device, dtype)

    if not isinstance(preprocess, ImagePreprocess):
        return as_they_are
    mean, std = (
        255 * torch.tensor(v, device=device, dtype=dtype)[:, None, None] for v in (preprocess.mean, preprocess.std)
    )
    return lambda inputs: as_they_are(inputs).sub_(mean).div_(std)
