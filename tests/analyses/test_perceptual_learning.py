"""Gratings by their spectra, observers by enumeration and simulation, linear networks by closed forms."""

from __future__ import annotations

import copy
import os

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from scipy.integrate import solve_ivp

from analyses import gratings, linear_stages, perceptual_learning_figures
from analyses import perceptual_learning as study
from analyses.gratings import SIDE, Gratings, gabor
from analyses.linear_stages import START, STEP
from neurocompare.errors import DataUnavailable
from neurocompare.networks import mlp
from neurocompare.stimuli import ImagePreprocess

SCALE = ImagePreprocess(SIDE, SIDE, (0.4,), (0.25,))


def spectrum(image):
    """The mean frequency of the half plane that has the wave, ``(cycles per image, degrees counterclockwise)``."""
    power = np.abs(np.fft.fft2(image - image.mean())) ** 2
    rows, columns = np.meshgrid(*[np.fft.fftfreq(SIDE, 1 / SIDE)] * 2, indexing="ij")
    peak = np.unravel_index(power.argmax(), power.shape)
    same = rows * rows[peak] + columns * columns[peak] > 0
    x, y = (float((part * power)[same].sum() / power[same].sum()) for part in (columns, -rows))
    return np.hypot(x, y), np.degrees(np.arctan2(y, x)) % 180


@pytest.mark.parametrize("angle", [0.0, 30.0, 45.0, 100.0])
@pytest.mark.parametrize("frequency", [4.0, 8.0])
def test_gratings_have_their_frequency_and_orientation(frequency, angle):
    found = spectrum(gabor(angle, frequency=frequency))
    assert found == pytest.approx((frequency, angle), rel=0.01, abs=0.3)


def test_gratings_turn_counterclockwise_and_have_their_contrast():
    np.testing.assert_allclose(gabor(77.0), np.rot90(gabor(-13.0)), atol=1e-12)
    np.testing.assert_allclose(gabor(20.0, phase=180), 1 - gabor(20.0), atol=1e-12)
    np.testing.assert_allclose(gabor(20.0, contrast=0.2) - 0.5, 0.4 * (gabor(20.0) - 0.5), atol=1e-12)
    assert gabor(0.0, contrast=1.0, frequency=1.0).max() == pytest.approx(1, abs=0.01)  # no pixel is in the very middle
    assert gabor(0.0).mean() == pytest.approx(0.5, abs=1e-3)


def test_draws_are_noisy_tilted_gratings():
    task = Gratings(SCALE, 40.0, 5.0)
    x, labels = task.draw(400, torch.Generator().manual_seed(0))
    assert labels.tolist()[:4] == [0, 1, 0, 1]
    for label, angle in enumerate((45.0, 35.0)):  # clockwise is 1
        pixels = (0.25 * x[labels == label] + 0.4).numpy()[:, 0]
        assert spectrum(pixels.mean(0))[1] == pytest.approx(angle, abs=0.5)
        assert (pixels - gabor(angle)).std() == pytest.approx(gratings.NOISE, rel=0.01)
    again, _ = task.draw(400, torch.Generator().manual_seed(0))
    assert torch.equal(x, again)


def test_forced_choice_by_enumeration():
    rng = np.random.default_rng(0)
    answers, labels = rng.integers(0, 5, 30), np.arange(30) % 3 // 2
    pairs = [(a, b) for a in answers[labels == 1] for b in answers[labels == 0]]
    assert gratings.forced_choice(answers, labels) == pytest.approx(
        np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs])
    )


def test_an_ideal_observer_is_as_good_as_said():
    task = Gratings(SCALE, 20.0, 0.2)
    assert 0.7 < task.ideal() < 0.9
    x, labels = task.draw(4000, torch.Generator().manual_seed(1))
    answers = (x * (task.clean[1] - task.clean[0])).sum((1, 2, 3))
    assert gratings.forced_choice(answers.numpy(), labels.numpy()) == pytest.approx(
        task.ideal(), abs=4 * 0.4 / 2000**0.5
    )


def test_textures_are_of_the_orientation_that_their_label_says():
    data = gratings.textures(80)
    assert len(data.train) == 64
    assert np.bincount(data.test.labels, minlength=8).tolist() == [2] * 8

    def energy(image, angle):  # of the best frequency, whatever the phase
        pairs = [[gabor(angle, frequency=f, phase=phase) - 0.5 for phase in (0, 90)] for f in (2, 2.8, 4, 5.7, 8)]
        return max(sum((image * wave).sum() ** 2 for wave in pair) / (pair[0] ** 2).sum() for pair in pairs)

    for image, label in zip(data.train.inputs[:24, 0] / 255 - 0.5, data.train.labels, strict=False):
        assert np.argmax([energy(image, 22.5 * other) for other in range(8)]) == label
    assert not np.array_equal(data.train.inputs, gratings.textures(80, seed=1).train.inputs)


def test_without_photographs_textures_stand_in(monkeypatch):
    def missing(**_):
        raise DataUnavailable("there is none")

    monkeypatch.setattr(gratings, "load_cifar10_jpeg", missing)
    assert gratings.photographs(50).name == "textures"


@pytest.mark.skipif(not os.environ.get("NEUROCOMPARE_MIRROR"), reason="NEUROCOMPARE_MIRROR names no mirror")
def test_photographs_are_grey():
    data = gratings.photographs(20)
    assert data.name == "cifar10_jpeg, grey"
    assert data.input_shape == (1, SIDE, SIDE)
    colour = gratings.load_cifar10_jpeg(train_items=20, test_items=4).train.inputs[3].transpose(1, 2, 0)
    by_pillow = np.asarray(Image.fromarray(colour).convert("L")).astype(int)
    assert np.abs(by_pillow - data.train.inputs[3, 0]).max() <= 1


@pytest.fixture(scope="module")
def net():
    return study.experienced(gratings.textures(200), 1, 0)[0]


def test_experience_is_kept_and_the_readout_starts_from_zero(net):
    untrained = study.convnet(2, input_shape=(1, SIDE, SIDE), channels=study.CHANNELS, hidden=(), seed=0)
    assert not torch.equal(net.conv1.weight, untrained.conv1.weight)
    assert net.readout.weight.shape == (2, 256)
    assert not net(torch.randn(3, 1, SIDE, SIDE)).any()


@pytest.mark.parametrize("name", ["backprop", "feedback_alignment"])
def test_a_coarse_task_is_learnt_and_tuning_changes_where_it_was(net, name):
    before = copy.deepcopy(net.state_dict())
    found = study.trained(net, name, SCALE, 10.0, 3e-3, 80, seed=0)
    assert found["accuracy"][0] > 0.95
    assert found["change"].shape == (4,)
    assert (found["change"] > 0).all()
    assert found["slope"][0, -1] > found["slope"][1, -1]
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    again = study.trained(net, name, SCALE, 10.0, 3e-3, 80, seed=0)
    assert all(np.array_equal(value, again[key]) for key, value in found.items())


def test_clockwise_gratings_give_the_larger_answer(net):
    """A readout made from the difference of the two kinds is right; with its sign turned it is as often wrong."""
    net, task = copy.deepcopy(net), Gratings(SCALE, 30.0, 10.0)
    below = net.trace((task.clean - 0.4) / 0.25).inputs[-1].flatten(1).detach()
    right = []
    for sign in (1, -1):
        with torch.no_grad():
            net.readout.weight[1] = sign * (below[1] - below[0])
        right.append(study.accuracies(net, SCALE, 30.0, 10.0, 0)[0])
    assert right[0] > 0.9
    assert sum(right) == pytest.approx(1)


def test_the_best_rate_is_neither_too_small_nor_divergent(net, monkeypatch):
    monkeypatch.setattr(study, "RATES", (1e-7, 3e-3, 1e4))
    before = net.conv1.weight.clone()
    assert study.best_rate(net, "backprop", SCALE, 40) == 3e-3
    assert torch.equal(net.conv1.weight, before)


def test_changes_by_hand():
    before = mlp(2, input_shape=(2,), hidden=(2, 2), seed=0)
    after = copy.deepcopy(before)
    with torch.no_grad():
        before.fc1.weight.copy_(torch.tensor([[1.0, -1.0], [2.0, 0.0]]))
        after.fc1.weight.copy_(torch.tensor([[1.5, -1.5], [2.0, 1.0]]))
        after.fc2.weight.mul_(-1)
        after.readout.weight.add_(5)
    changes = study.relative_changes(before, after)
    np.testing.assert_allclose(changes, [0.5, 2.0], rtol=1e-6)
    assert study.centroid(changes) == pytest.approx((0.5 + 2 * 2) / 2.5)


def test_slopes_by_direct_computation():
    net = mlp(2, input_shape=(1, SIDE, SIDE), hidden=(6,), seed=2)
    weight = net.fc1.weight.detach().double().numpy()
    with torch.no_grad():
        net.fc1.bias[0] = -1e6  # a unit that never responds

    def response(angle):
        return np.maximum(weight @ ((gabor(angle) - 0.4) / 0.25).ravel(), 0)[1:]

    largest = np.max([response(a) for a in (71.0, 69.0, *np.arange(0, 180, 7.5))], axis=0)
    steep = np.abs(response(71.0) - response(69.0)) / 2
    expected = (steep[largest > 0] / largest[largest > 0]).mean()
    assert study.slopes(net, SCALE, 70.0) == pytest.approx([expected], rel=1e-4)


@pytest.mark.parametrize("s", [0.5, 2.0])
def test_the_closed_form_solves_the_equation_of_two_weights(s):
    t = np.linspace(0, 8, 41)
    w = solve_ivp(lambda _, w: [w[1] * (s - w[0] * w[1]), w[0] * (s - w[0] * w[1])], (0, 8), [0.1, 0.1], t_eval=t,
                  rtol=1e-10, atol=1e-12)  # fmt: skip
    np.testing.assert_allclose(linear_stages.strength(t, s, 0.01), w.y[0] * w.y[1], rtol=1e-7)
    assert linear_stages.strength(linear_stages.half_time(s, 0.01), s, 0.01) == pytest.approx(s / 2)


def test_gradient_descent_follows_the_closed_form_but_for_what_its_steps_add():
    """The deviation is of first order in the step, and what the first order does not explain is of second order."""
    steps, off, left = (0.08, 0.04, 0.02), [], []
    singular = np.linalg.svd(linear_stages.TREE / 2, compute_uv=False)
    for step in steps:
        found = linear_stages.learn_tree("backprop", step=step, duration=6.0)
        t = step * np.arange(len(found))
        theory = np.stack([linear_stages.strength(t, s, START) for s in singular], 1)
        added = np.stack([linear_stages.step_error(t, s, START, step) for s in singular], 1)
        off.append(np.abs(found - theory).max())
        left.append(np.abs(found - theory - added).max())
        assert off[-1] < 1.1 * np.abs(added).max()
    for errors, order in ((off, 1), (left, 2)):
        assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=0.15)
    assert left[-1] < 0.03 * off[-1]


@pytest.mark.parametrize("name", linear_stages.LEARNERS)
def test_the_tree_is_learnt_in_the_end(name):
    found = linear_stages.learn_tree(name, aligned=False, step=0.1, duration=40.0, seed=3)
    np.testing.assert_allclose(found[-1], np.sqrt([7, 3, 1, 1]) / 2, atol=1e-3)


@pytest.mark.parametrize("name", linear_stages.LEARNERS)
@pytest.mark.parametrize("gain", [0.1, 1.0, 10.0])
def test_what_a_chain_conserves_says_where_it_ends(name, gain):
    lower, upper = linear_stages.settled(name, gain)
    assert lower * upper == pytest.approx(gain)
    assert lower**2 - (upper**2 if name == "backprop" else 2 * upper) == pytest.approx(1)
    found = linear_stages.learn_chain(name, gain)
    assert found[0].tolist() == [1, 0]
    assert found[-1] == pytest.approx((lower, upper), rel=2 * STEP)
    assert found[-1].prod() == pytest.approx(gain, rel=1e-3)


def test_transfer_by_hand():
    right = [[0.9, 0.7, 0.5, 0.9, 0.8], [0.55, 0.5, 0.5, 0.5, 0.5]]
    table = xr.DataArray(right, dims=("precision", "condition"), coords={"condition": list(gratings.CONDITIONS)})
    found = perceptual_learning_figures.transfer(xr.Dataset({"accuracy": table}))
    np.testing.assert_allclose(found["orientation"], [0.25, np.nan])
    np.testing.assert_allclose(found["frequency"], [0.35 / 0.4, np.nan])


def test_slopes_over_octaves():
    x = np.array([1.0, 2.0, 8.0])
    values = xr.DataArray([3 * np.log2(x) + 1, [1.0, np.nan, 2.0]], dims=("seed", "precision"), coords={"precision": x})
    np.testing.assert_allclose(perceptual_learning_figures._per_octave(values), [3, np.nan])


@pytest.fixture(scope="module")
def small():
    rates, few = {"backprop": 3e-3, "feedback_alignment": 3e-3}, {"steps": 10, "seeds": 3, "epochs": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "TESTED", 20)
        return study.compute(rates, (2.0, 5.0, 10.0), before=gratings.textures(200), rates=rates, **few)


def test_both_parts_come_out_whole(small):
    assert small["change"].shape == (2, 3, 3, 4)
    assert small["slope"].shape == (2, 3, 3, 2, 4)
    assert small["accuracy"].shape == (2, 3, 3, 5)
    assert all(small[name].notnull().all() for name in small)
    np.testing.assert_allclose(small["share"], small["share_theory"], rtol=0.02)
    off = abs(small["tree"].sel(learner="backprop", start="aligned") - small["closed_form"])
    assert (off.max("time") < 1.1 * abs(small["step_error"]).max("time")).all()
    assert (
        small["half_changed"].sel(learner="backprop", weight="lower") > small["half_changed"].sel(weight="upper")[0]
    ).all()


def test_what_is_said_follows_from_the_numbers(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "compute", lambda *_, **__: small)
    paths = study.main(tmp_path, quick=True)
    assert {path.suffix for path in paths} == {".nc", ".svg", ".pdf", ".png"}
    said = capsys.readouterr().out
    assert "the lower weight's share grows with the gain" in said
    assert "the lower weight's share falls with the gain" in said
    for sign, verdict in ((1, ": reproduced"), (-1, ": NOT reproduced"), (0, ": undecided")):
        turned = small.copy()
        wobble = xr.DataArray([0.1, -0.1, 0.0], dims="seed") * np.log2(small["precision"])
        turned["centroid"] = sign * np.log2(small["precision"]) + wobble + 0 * small["centroid"]
        lines = [line for line in perceptual_learning_figures.findings(turned) if "change lower layers" in line]
        assert len(lines) == 2
        assert all(verdict in line for line in lines)
