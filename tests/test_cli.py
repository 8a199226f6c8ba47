"""The command line as a new user meets it: what it prints, and one clear line for each mistake."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from neurocompare import cli

MODEL_FILE = """
import torch

def tiny():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(5))

def number():
    return 3
"""


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the command line in this process: exit code, standard output, standard error."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["neurocompare", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def model_file(tmp_path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MODEL_FILE)
    return path


@pytest.mark.parametrize("what", ["rules", "controls", "benchmarks", "datasets", "metrics", "models", "analyses"])
def test_list_names_what_is_registered(call, what):
    code, out, _ = call("list", what)
    expected = {"rules": "node_perturbation", "controls": "pixels", "benchmarks": "cowley2023.V4"}
    expected |= {"datasets": "cifar10_jpeg", "metrics": "rsa_tau_a", "models": "resnet18", "analyses": "noise_ceilings"}
    assert code == 0
    assert expected[what] in out


def test_train_then_score_then_plot(call, tmp_path):
    run = tmp_path / "run"
    code, out, _ = call("train", "--rule", "backprop", "--dataset", "digits", "--epochs", 1, "-o", run)
    assert code == 0
    assert re.search(r"test accuracy 0\.\d+; kept in", out)
    code, out, _ = call("score", run, "-b", "simulated.units", "-l", "conv*", "-o", tmp_path / "scores")
    assert code == 0
    assert "conv3" in out and "readout" not in out
    assert "Spearman-Brown" in out
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {
        "score.nc", "scores.csv", "by_layer.svg", "by_layer.pdf", "by_layer.png",
    }  # fmt: skip
    (tmp_path / "scores" / "by_layer.svg").unlink()
    assert call("plot", tmp_path / "scores" / "score.nc")[0] == 0
    assert (tmp_path / "scores" / "score.svg").is_file()
    code, _, err = call("train", "--dataset", "digits", "-o", run)
    assert (code, "already holds a run" in err) == (2, True)


def test_score_a_model_of_ones_own(call, model_file):
    code, out, err = call("score", f"{model_file}:tiny", "-b", "simulated.rdm", "--side", 32)
    assert code == 0
    assert "tiny on simulated.rdm" in out
    assert re.search(r"probing 3 layers \([\d,]+ features\) over 200 stimuli: 1 pass", err)


def test_score_a_zoo_model_with_random_weights(call):
    arguments = ("score", "squeezenet1_1", "--random-weights", "-b", "simulated.rdm", "-l", "features.0")
    code, out, _ = call(*arguments)
    assert code == 0
    assert "features.0" in out


def test_run_twice_prints_the_same_table(call, tmp_path):
    from test_study import TINY

    study = tmp_path / "study.toml"
    study.write_text(TINY)
    code, first, _ = call("run", study, "-o", tmp_path / "out")
    assert code == 0
    assert {path.suffix for path in (tmp_path / "out" / "figures").iterdir()} == {".svg", ".pdf", ".png"}
    assert call("run", study, "-o", tmp_path / "out")[1] == first
    assert "noise ceiling" in first and "scores.parquet" in first
    assert call("plot", tmp_path / "out")[0] == 0
    code, shown, _ = call("contrasts", tmp_path / "out", "--reference", "feedback_alignment")
    assert code == 0
    assert "simulated.units, ridge: less feedback_alignment, same seeds" in shown
    assert "inference over seeds needs 3" in shown
    written = pd.read_csv(tmp_path / "out" / "contrasts_raw_to_feedback_alignment.csv")
    assert set(written["layer"]) == {"chosen", "conv1", "conv2", "fc1", "readout"}
    assert set(written["model"]) == {"node_perturbation", "untrained", "permuted_weights", "shuffled_labels"}


@pytest.mark.slow
def test_without_data_the_builtin_study_runs_on_a_simulated_brain_and_says_so(call, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROCOMPARE_MIRROR", str(tmp_path / "empty"))
    monkeypatch.setenv("NEUROCOMPARE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("data_loaders._files.download", _no_network)
    offline = cli.builtin_spec("offline")
    small = {"training": offline.training.model_copy(update={"epochs": 1, "items": 128})}
    specs = {"first_light": cli.builtin_spec("first_light"), "offline": offline.model_copy(update=small)}
    monkeypatch.setattr(cli, "builtin_spec", specs.__getitem__)
    code, out, err = call("run", "--quick", "-o", tmp_path / "out")
    assert code == 0
    assert "cannot be had" in err and "simulated brain" in err and "says nothing about brains" in err
    assert "say nothing about brains" in out


def _no_network(url, part, *, resume=True):
    from neurocompare.errors import DataUnavailable

    raise DataUnavailable(f"{url}: cannot connect")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "rule"), "unknown list 'rule'; did you mean 'rules'"),
        (("train", "--rule", "backprob", "-o", "{tmp}/r"), "unknown rule 'backprob'; did you mean 'backprop'"),
        (("train", "--dataset", "digit", "-o", "{tmp}/r"), "unknown dataset 'digit'; did you mean 'digits'"),
        (("train", "--dataset", "digits", "--architecture", "cnn", "-o", "{tmp}/r"), "unknown architecture 'cnn'"),
        (
            ("train", "--dataset", "digits", "--learning-rate", 1e9, "-o", "{tmp}/r"),
            "diverged: the loss is .* lower it",
        ),
        (("score", "resnet81", "--random-weights", "-b", "simulated.rdm"), "unknown model 'resnet81'; did you mean"),
        (("score", "{tmp}", "-b", "simulated.rdm"), "neither a run folder .* nor path/to/file.py:function"),
        (("score", "{tmp}/no.py:f", "-b", "simulated.rdm"), "there is no file"),
        (("score", "{model}:none", "-b", "simulated.rdm"), "unknown function of .* 'none'"),
        (("score", "{model}:number", "-b", "simulated.rdm"), "returned a int; it must return a torch.nn.Module"),
        (("score", "{model}:tiny", "-b", "simulated.rmd"), "unknown benchmark 'simulated.rmd'; did you mean"),
        (
            ("score", "{model}:tiny", "-b", "simulated.rdm", "-m", "rigde"),
            "unknown metric 'rigde'; did you mean 'ridge'",
        ),
        (
            ("score", "{model}:tiny", "-b", "simulated.rdm", "-m", "ridge"),
            "needs responses of neuroids, .* use an rsa_",
        ),
        (("score", "{model}:tiny", "-b", "simulated.rdm", "-l", "conv9"), "unknown layer of 'tiny' 'conv9'"),
        (("run", "{tmp}/none.toml", "-o", "{tmp}/o"), "cannot read the study"),
        (("plot", "{tmp}"), "holds no study"),
        (("plot", "{model}.nc"), "is not a readable score"),
        (("analysis", "ceilings", "-o", "{tmp}/a"), "unknown analysis 'ceilings'; did you mean 'noise_ceilings'"),
        (("data", "where", "cichy"), "unknown dataset with files 'cichy'; did you mean 'cichy2014'"),
        (("run", "-o", "{model}"), "Not a directory|File exists"),
    ],
)
def test_bad_input_is_one_line_and_a_non_zero_exit(call, tmp_path, model_file, arguments, message):
    filled = [str(a).replace("{tmp}", str(tmp_path)).replace("{model}", str(model_file)) for a in arguments]
    code, _, err = call(*filled)
    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert re.search(message, lines[0]), lines[0]
    assert "Traceback" not in err


def test_a_damaged_data_file_is_reported_with_both_sums(call, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROCOMPARE_MIRROR", str(tmp_path))
    monkeypatch.setenv("NEUROCOMPARE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "kriegeskorte2008"
    folder.mkdir()
    for name in ("92_brainRDMs.mat", "Kriegeskorte_Neuron2008_supplementalData.mat"):
        (folder / name).write_bytes(b"not what it should be")
    code, _, err = call("score", "alexnet", "--random-weights", "-b", "kriegeskorte2008.hIT")
    assert code == 2
    assert re.search(r"error: a bad file in the mirror: .* has sha256 \w{64}, expected \w{64}", err)
    code, _, err = call("data", "verify", "kriegeskorte2008")
    assert (code, "2 of 2 files are damaged" in err) == (2, True)


def test_the_installed_command_exits_with_an_error_and_no_traceback(tmp_path):
    command = [sys.executable, "-m", "neurocompare.cli", "plot", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
