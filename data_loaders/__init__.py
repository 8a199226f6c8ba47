"""Datasets to train on and brain data to compare with, by name."""

from __future__ import annotations

import functools
from collections.abc import Callable

from data_loaders.cichy2014 import load_cichy2014
from data_loaders.cifar10_jpeg import load_cifar10_jpeg
from data_loaders.cowley2023 import load_cowley2023
from data_loaders.installed import load_digits_dataset
from data_loaders.kriegeskorte2008 import load_human_it, load_monkey_it
from data_loaders.simulated import load_simulated_rdm, load_simulated_units
from neurocompare.benchmark import Benchmark
from neurocompare.dataset import Dataset
from neurocompare.errors import unknown_name

LOADERS: dict[str, Callable[[], Dataset]] = {
    "cifar10_jpeg": load_cifar10_jpeg,
    "digits": load_digits_dataset,
}

BENCHMARKS: dict[str, Callable[[], Benchmark]] = {
    "cichy2014.EVC": functools.partial(load_cichy2014, "EVC"),
    "cichy2014.IT": functools.partial(load_cichy2014, "IT"),
    "cowley2023.V4": load_cowley2023,
    "kriegeskorte2008.hIT": load_human_it,
    "kriegeskorte2008.mIT": load_monkey_it,
    "simulated.rdm": load_simulated_rdm,
    "simulated.units": load_simulated_units,
}


def load_benchmark(name: str) -> Benchmark:
    """The benchmark of that name, e.g. ``"cowley2023.V4"``.

    Raises:
        InputError: no such name.
        DataUnavailable: a file cannot be had.
    """
    if name not in BENCHMARKS:
        raise unknown_name("benchmark", name, BENCHMARKS)
    return BENCHMARKS[name]()


def load_dataset(name: str) -> Dataset:
    """The dataset of that name, whole, in its default order.

    Raises:
        InputError: no such name.
        DataUnavailable: a file cannot be had.
    """
    if name not in LOADERS:
        raise unknown_name("dataset", name, LOADERS)
    return LOADERS[name]()


__all__ = ["BENCHMARKS", "LOADERS", "load_benchmark", "load_cifar10_jpeg", "load_cowley2023", "load_dataset"]
