"""Recordings made up at random are accepted as they are, or refused by a clean error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fuzzing import ID, accepted, fuzz
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from neurocompare import assembly
from neurocompare.errors import InputError

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
ARRAYS = stn.arrays(
    stn.floating_dtypes(sizes=(32, 64), endianness="=")
    | st.sampled_from([np.dtype(int), np.dtype(bool), np.dtype("U3")]),
    stn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)
ODD_ARRAYS = ARRAYS | st.sampled_from([np.array([[1j, 2], [3, 4]]), np.array([[None, 1], [2, 3]]), np.array([[{}]])])
GOOD_ARRAYS = stn.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 3)), elements=st.integers(-9, 9))


@st.composite
def responses(draw) -> dict[str, Any]:
    """Arguments of ``response_assembly``, most of them right."""
    values = draw(GOOD_ARRAYS | ODD_ARRAYS)
    n, m = (*values.shape, 0, 0)[:2]
    wrong = draw(st.sampled_from([0, 0, 0, 0, 1, -1]))
    ids = st.lists(ID, min_size=max(0, n + wrong), max_size=max(0, n + wrong))
    neuroids = [f"n{i}" for i in range(m)]
    return {
        "values": values,
        "stimulus_ids": draw(ids),
        "neuroid_ids": draw(st.just(neuroids) | st.lists(ID, max_size=4)),
        "repetitions": draw(st.none() | st.just(range(n)) | st.lists(st.integers(0, 3), max_size=4)),
        "subjects": draw(st.just("s") | st.just(neuroids) | st.lists(ID, max_size=4)),
        "region": draw(ID),
        "units": draw(ID),
        "time_bins": draw(st.none() | stn.arrays(float, stn.array_shapes(min_dims=1, max_dims=3, max_side=4))),
    }


@fuzz(300, responses())
def test_responses_are_refused_or_as_they_were_given(arguments):
    data = accepted(lambda: assembly.response_assembly(**arguments))
    ids = list(dict.fromkeys(arguments["stimulus_ids"]))
    np.testing.assert_array_equal(data.values, arguments["values"])
    assert assembly.stimulus_ids(data) == ids
    assert data["neuroid_id"].values.tolist() == list(arguments["neuroid_ids"])
    averaged = assembly.average_repetitions(data)
    flat = pd.DataFrame(data.values.reshape(len(data), -1))
    np.testing.assert_allclose(
        averaged.values.reshape(len(ids), -1),
        flat.groupby(arguments["stimulus_ids"]).mean().loc[ids],
        rtol=1e-6,
        atol=1e-9,
    )
    assembly.check_stimuli_match(data, ids[::-1])
    for wrong in (ids[1:], [*ids, "another"], [*ids, ids[0]]):
        with pytest.raises(InputError):
            assembly.check_stimuli_match(data, wrong)
    labelled = assembly.with_stimulus_coord(data, "label", {stimulus: f"of {stimulus}" for stimulus in ids})
    assert assembly.stimulus_coord(labelled, "label") == [f"of {stimulus}" for stimulus in ids]


@fuzz(200, GOOD_ARRAYS | ODD_ARRAYS, st.lists(ID, max_size=5), st.lists(ID, max_size=5))
def test_rdms_are_refused_or_as_they_were_given(rdms, ids, subjects):
    data = accepted(lambda: assembly.rdm_assembly(rdms, ids, subjects=subjects, measure="1 - r"))
    np.testing.assert_array_equal(data.values, rdms)
    assert assembly.stimulus_ids(data) == ids and len(set(ids)) == len(ids)
    assembly.check_stimuli_match(data, ids)
    assert data["subject"].values.tolist() == subjects


RIGHT = assembly.response_assembly(
    np.arange(6.0).reshape(3, 2), list("aba"), neuroid_ids=["n", "m"], region="r", subjects="s", units="u"
)
RDMS = assembly.rdm_assembly(np.arange(6.0).reshape(2, 3), list("abc"), subjects=["s", "t"], measure="m")
SPOILT = {
    "coords on other dims": lambda data: data.drop_vars("stimulus_id").assign_coords(
        stimulus_id=("neuroid", ["a", "b"])
    ),
    "a scalar coord": lambda data: data.drop_vars("neuroid_id").assign_coords(neuroid_id="n"),
    "complex": lambda data: data + 1j,
    "objects": lambda data: data.astype(object),
    "text": lambda data: data.astype(str),
    "times": lambda data: data.astype("datetime64[ns]"),
    "renamed": lambda data: data.rename(neuroid="pair"),
    "transposed": lambda data: data.transpose(),
    "one value": lambda data: data[0, 0],
    "nothing": lambda data: data[:0],
    "no neuroids": lambda data: data[:, :0],
    "more dims": lambda data: data.expand_dims("session"),
    "time without bins": lambda data: data.expand_dims("time_bin", -1),
    "bins that are names": lambda data: data.expand_dims("time_bin", -1).assign_coords(
        time_bin_start=("time_bin", ["x"]), time_bin_end=("time_bin", ["y"])
    ),
    "bins elsewhere": lambda data: data.expand_dims("time_bin", -1).assign_coords(
        time_bin_start=("presentation", [0.0, 1, 2]), time_bin_end=("presentation", [1.0, 2, 3])
    ),
    "no coords": lambda data: data.reset_coords(drop=True),
    "infinite": lambda data: data.where(data > 0, np.inf),
}


@pytest.mark.parametrize("way", SPOILT)
def test_every_way_to_spoil_an_assembly_is_refused(way):
    with pytest.raises(InputError):
        assembly.check(SPOILT[way](RIGHT))
    assembly.check(RIGHT)


RDM_SPOILT = {
    "coords on other dims": lambda data: data.drop_vars("stimulus_1").assign_coords(stimulus_1=("subject", ["a", "b"])),
    "subjects on pairs": lambda data: data.drop_vars("subject").assign_coords(subject=("pair", ["s", "t", "u"])),
    "complex": lambda data: data + 1j,
    "objects": lambda data: data.astype(object),
    "text": lambda data: data.astype(str),
    "another order": lambda data: data[:, ::-1],
    "too few": lambda data: data[:, :2],
    "nothing": lambda data: data[:, :0],
    "no subjects": lambda data: data[:0],
    "transposed": lambda data: data.transpose(),
    "one stimulus": lambda data: data.assign_coords(stimulus_1=("pair", list("aaa")), stimulus_2=("pair", list("aaa"))),
    "not a number": lambda data: data.where(data > 0),
}


@pytest.mark.parametrize("way", RDM_SPOILT)
def test_every_way_to_spoil_rdms_is_refused(way):
    with pytest.raises(InputError):
        assembly.check(RDM_SPOILT[way](RDMS))
    assembly.check(RDMS)
