"""Datasets to train on and brain data to compare with, by name."""

from __future__ import annotations

import functools
from collections.abc import Callable

from data_loaders import norman_haignere2015, norman_haignere2022
from data_loaders.cadieu2014 import load_cadieu2014
from data_loaders.cichy2014 import load_cichy2014
from data_loaders.cifar10_jpeg import load_cifar10_jpeg
from data_loaders.cowley2023 import load_cowley2023
from data_loaders.freemanziemba2013 import load_freemanziemba2013
from data_loaders.harper2016 import load_harper2016
from data_loaders.installed import load_digits_dataset
from data_loaders.kay_yeatman2017 import load_kay_yeatman2017
from data_loaders.kriegeskorte2008 import load_human_it, load_monkey_it
from data_loaders.majaj2015 import load_majaj2015
from data_loaders.simulated import load_simulated_rdm, load_simulated_units
from data_loaders.sound_tasks import load_everyday_sounds, load_hearing, load_speakers, load_spoken_words
from data_loaders.tiny_imagenet40 import load_tiny_imagenet40
from data_loaders.tuckute2023 import load_tuckute2023
from neurocompare.benchmark import Benchmark
from neurocompare.dataset import Dataset, SoundTask
from neurocompare.errors import unknown_name

LOADERS: dict[str, Callable[[], Dataset | SoundTask]] = {
    "cifar10_jpeg": load_cifar10_jpeg,
    "digits": load_digits_dataset,
    "everyday_sounds": load_everyday_sounds,
    "hearing": load_hearing,
    "speakers": load_speakers,
    "spoken_words": load_spoken_words,
    "tiny_imagenet40": load_tiny_imagenet40,
}

BENCHMARKS: dict[str, Callable[[], Benchmark]] = {
    "cadieu2014.IT": functools.partial(load_cadieu2014, "IT"),
    "cadieu2014.V4": functools.partial(load_cadieu2014, "V4"),
    "cichy2014.EVC": functools.partial(load_cichy2014, "EVC"),
    "cichy2014.IT": functools.partial(load_cichy2014, "IT"),
    "cowley2023.V4": load_cowley2023,
    "freemanziemba2013.V1": functools.partial(load_freemanziemba2013, "V1"),
    "freemanziemba2013.V2": functools.partial(load_freemanziemba2013, "V2"),
    "harper2016.A1": load_harper2016,
    "kay_yeatman2017.VTC": load_kay_yeatman2017,
    "kriegeskorte2008.hIT": load_human_it,
    "kriegeskorte2008.mIT": load_monkey_it,
    "majaj2015.IT": functools.partial(load_majaj2015, "IT"),
    "majaj2015.V4": functools.partial(load_majaj2015, "V4"),
    "norman_haignere2015.components": norman_haignere2015.load_components,
    "norman_haignere2015.rdm": norman_haignere2015.load_rdm,
    "norman_haignere2022.components": norman_haignere2022.load_components,
    "norman_haignere2022.electrodes": norman_haignere2022.load_electrodes,
    "norman_haignere2022.rdm": norman_haignere2022.load_rdm,
    "tuckute2023.B2021": functools.partial(load_tuckute2023, "B2021"),
    "tuckute2023.NH2015": functools.partial(load_tuckute2023, "NH2015"),
    "simulated.rdm": load_simulated_rdm,
    "simulated.units": load_simulated_units,
}


# Datasets that were shown the same stimuli under the same ids, by a name for those; others have their own.
_STIMULI = dict.fromkeys(("norman_haignere2015", "norman_haignere2022", "tuckute2023"), "165 natural sounds")
# Benchmarks that are the same recordings in another form, by a name for those; others are recordings of their own.
_RECORDINGS = {
    **dict.fromkeys(("norman_haignere2015.components", "norman_haignere2015.rdm", "tuckute2023.NH2015"), "fMRI, 2015"),
    **dict.fromkeys((f"norman_haignere2022.{form}" for form in ("components", "electrodes", "rdm")), "ECoG, 2022"),
}


def can_model(region: str, benchmark: str) -> bool:
    """Whether one benchmark's responses can be a model of another's: to the same stimuli, but not the same recordings."""
    first, second = (name.partition(".")[0] for name in (region, benchmark))
    apart = _RECORDINGS.get(region, region) != _RECORDINGS.get(benchmark, benchmark)
    return apart and _STIMULI.get(first, first) == _STIMULI.get(second, second)


def load_benchmark(name: str) -> Benchmark:
    """The benchmark of that name, e.g. ``"cowley2023.V4"``.

    Raises:
        InputError: no such name.
        DataUnavailable: a file cannot be had.
    """
    if name not in BENCHMARKS:
        raise unknown_name("benchmark", name, BENCHMARKS)
    return BENCHMARKS[name]()


def load_dataset(name: str) -> Dataset | SoundTask:
    """The dataset of that name, whole, in its default order; ``hearing.trainable`` makes a dataset of a sound task.

    Raises:
        InputError: no such name.
        DataUnavailable: a file cannot be had.
    """
    if name not in LOADERS:
        raise unknown_name("dataset", name, LOADERS)
    return LOADERS[name]()


__all__ = [
    "BENCHMARKS",
    "LOADERS",
    "can_model",
    "load_benchmark",
    "load_cifar10_jpeg",
    "load_cowley2023",
    "load_dataset",
]
