"""The front end and the modulation filters against their direct construction, and against what they cannot do without.

    python benchmarks/sound.py [--threads N] [--sounds N]

Direct construction is each step as it is written in the papers: every band at the rate of the sound with scipy's Hilbert
transform, every modulation filter by a two-dimensional transform of its own. Results are compared before times are. The
floor is the operations of the transforms at the rate of this machine's transforms of 4096, and those of the products at the
rate of its matrix products. Sounds last two seconds; a speed is seconds of sound per second.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.signal import hilbert, upfirdn
from torch import Tensor

from data_loaders import load_benchmark, load_dataset
from neurocompare.cochleagram import Cochleagram
from neurocompare.hearing import trainable
from neurocompare.metrics import METRICS, OverTime
from neurocompare.model import Model
from neurocompare.modulation import TUCKUTE_2023, ModulationBank, rate_filters, scale_filters, spectrotemporal
from neurocompare.networks import convnet
from neurocompare.probe import probe
from neurocompare.score import score_layers

SECONDS, RATE = 2.0, 20_000
TARGET = 100  # times real time
AUDITORY = (
    *(f"norman_haignere2015.{form}" for form in ("components", "rdm")),
    *(f"norman_haignere2022.{form}" for form in ("components", "electrodes", "rdm")),
    "harper2016.A1",
)
# Ours may differ by what the cusps of magnitudes lose at the lower rate, and by single precision.
WITHIN = 1e-3


@dataclass
class Contest:
    """What is timed: the same done twice, by batch, and the operations that ours cannot do without."""

    name: str
    ours: Callable[[], Tensor]
    directly: Callable[[], np.ndarray]
    direct_sounds: int
    transform_flops: float
    product_flops: float


def seconds(call: Callable[[], object], runs: int) -> float:
    """The shortest time of some runs."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def fft_flops(n: int, real: bool = False) -> float:
    """Operations of a transform, as they are usually counted."""
    return (2.5 if real else 5) * n * math.log2(n)


def machine() -> tuple[float, float]:
    """Operations per second of complex transforms of 4096 points, and of matrix products, both in single precision."""
    x = torch.randn(128, 4096, dtype=torch.complex64)
    a = torch.randn(1536, 1536)
    transforms = 128 * fft_flops(4096) / seconds(partial(torch.fft.fft, x), 20)
    return transforms, 2 * 1536**3 / seconds(partial(torch.matmul, a, a), 20)


def sounds(n: int) -> Tensor:
    """Noise that comes and goes, at a root mean square of about 0.1."""
    generator = torch.Generator().manual_seed(0)
    slow = torch.rand(n, round(20 * SECONDS), generator=generator).repeat_interleave(RATE // 20, 1)
    return 0.15 * slow * torch.randn(slow.shape, generator=generator)


def cochleagrams_directly(front_end: Cochleagram, waves: np.ndarray) -> np.ndarray:
    """Every band at the rate of the sound, with the same silence around it."""
    length, hop = waves.shape[1] + RATE // 4, front_end.hop
    gains = front_end.filters.gains(np.fft.rfftfreq(length, 1 / RATE))
    low_pass = np.sinc(np.arange(-5 * hop, 5 * hop + 1) / hop) / hop * np.kaiser(10 * hop + 1, 5)
    spectrum, made = np.fft.rfft(waves, length), []
    for gain in gains:
        magnitudes = np.abs(hilbert(np.fft.irfft(spectrum * gain, length)))
        around = np.concatenate([magnitudes[:, -5 * hop :], magnitudes], 1)
        made.append(upfirdn(low_pass, around, 1, hop)[:, 10 : 10 + front_end.frames(waves.shape[1])])
    return (np.stack(made, 1).clip(0) + 1e-8) ** front_end.compression


def front_end_contest(name: str, front_end: Cochleagram, waves: Tensor) -> Contest:
    """The compressed envelopes of a batch."""
    transforms = fft_flops(waves.shape[1], real=True)
    products = 0.0
    for bands, magnitudes in front_end.magnitudes(waves[:1]):
        length = magnitudes.shape[-1]
        transforms += len(bands.rows) * fft_flops(length)
        products += len(bands.rows) * 2 * bands.low_pass.numel() * front_end.frames(waves.shape[1])
    few = waves[:2].double().numpy()
    directly = partial(cochleagrams_directly, front_end, few)
    return Contest(name, partial(front_end, waves), directly, len(few), transforms, products)


def bank_directly(bank: ModulationBank, per_erb: float, envelope_rate: float, x: np.ndarray) -> np.ndarray:
    """Every filter by masking the quadrants of its own two-dimensional transform."""
    bands, frames = x.shape
    height, length = 2 * bands, 3 * frames
    in_time = dict(zip(bank.rates, rate_filters(bank.rates, frames, envelope_rate).numpy(), strict=True))
    over_bands = dict(zip(bank.scales, scale_filters(bank.scales, bands, per_erb).numpy(), strict=True))
    spectrum, sign = np.fft.rfft2(x, (height, length)), np.sign(np.fft.fftfreq(height))
    sign[height // 2] = 0
    powers = []
    for rate, scale in bank.filters:
        temporal = in_time[abs(rate)] if rate else np.eye(1, length // 2 + 1)[0]
        spectral = np.concatenate([half := over_bands[scale], half[-2:0:-1]]) if scale else np.eye(1, height)[0]
        own = spectral[:, None] * temporal * ((1 + np.sign(rate) * sign[:, None]) / 2 if rate and scale else 1)
        powers.append(np.square(np.fft.irfft2(spectrum * own, (height, length))[:bands, :frames]).mean(1))
    return np.stack(powers)


def bank_contest(made: Tensor) -> Contest:
    """The power of 111 filters in 211 bands."""
    front_end = TUCKUTE_2023.front_end
    bank: ModulationBank = spectrotemporal().net.spectrotemporal[0]
    bands, frames = made.shape[1:]
    rates, scales, length = len(bank.rates), len(bank.scales), bank.length
    transforms = bands * (fft_flops(length, real=True) + rates * fft_flops(length))
    products = rates * 2 * (2 * scales * bands * bands * frames)
    one = made[0].double().numpy()
    directly = partial(bank_directly, bank, front_end.filters.per_erb, front_end.envelope_rate, one)
    return Contest("modulation filters, 111", partial(bank, made[:, None]), directly, 1, transforms, products)


def scoring() -> None:
    """An untrained network with six layers on every auditory benchmark, after probing; what cannot be had is left out."""
    data = trainable(load_dataset("spoken_words"))
    net = convnet(10, input_shape=data.input_shape, channels=(8, 16, 32, 32), hidden=(64,))
    model = Model("six layers", net, tuple(net.layers), data.preprocess)
    spent = {}
    for name in AUDITORY:
        benchmark = load_benchmark(name).in_memory()
        metric = METRICS[benchmark.metric]
        over_time = isinstance(metric, OverTime)
        layers = probe(model, benchmark.stimuli, keep_features=metric.needs_features, average_time=not over_time)
        _ = benchmark.grouped_data  # looks at the stimuli
        start = time.perf_counter()
        score_layers(model.describe() | {"seed": None}, layers, benchmark, metric)
        spent[name] = time.perf_counter() - start
    print(f"\nscoring {len(layers)} layers after probing: {sum(spent.values()):.1f} s (target 60)")
    print("\n".join(f"  {name:34}{took:6.1f} s" for name, took in spent.items()))


def main() -> None:
    """Compare, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sounds", type=int, default=16, help="in a batch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transform_rate, product_rate = machine()
    waves = sounds(arguments.sounds)
    print(
        f"{arguments.threads} threads; transforms {transform_rate / 1e9:.1f}, products {product_rate / 1e9:.0f} Gflop/s"
    )
    print(f"{'':26}{'ours':>8}{'directly':>10}{'ratio':>8}{'floor':>9}{'floor/ours':>12}{'apart':>10}   (x real time)")
    with torch.inference_mode():
        dense = TUCKUTE_2023.front_end
        contests = [
            front_end_contest("front end, 50 bands", Cochleagram(), waves),
            front_end_contest("front end, 211 bands", dense, waves),
            bank_contest(dense(waves)),
        ]
        for contest in contests:
            report(contest, len(waves), transform_rate, product_rate)
    scoring()


def report(contest: Contest, n: int, transform_rate: float, product_rate: float) -> None:
    """One line: speeds in seconds of sound per second, and how far the results are apart."""
    expected, found = contest.directly(), contest.ours()[: contest.direct_sounds].double().numpy()
    apart = math.sqrt(np.square(found - expected).mean() / np.square(expected).mean())
    assert apart < WITHIN, f"{contest.name}: {apart:.1e} apart"
    ours = SECONDS * n / seconds(contest.ours, 5)
    directly = SECONDS * contest.direct_sounds / seconds(contest.directly, 2)
    floor = SECONDS / (contest.transform_flops / transform_rate + contest.product_flops / product_rate)
    print(
        f"{contest.name:26}{ours:8.0f}{directly:10.1f}{ours / directly:8.0f}{floor:9.0f}{ours / floor:12.2f}{apart:10.1e}"
        f"   {'' if ours >= TARGET or 'filters' in contest.name else f'below the target of {TARGET}'}"
    )


if __name__ == "__main__":
    main()
