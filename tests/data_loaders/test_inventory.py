"""Where each dataset's files are, fetched and verified."""

from __future__ import annotations

from collections import Counter

import pytest
from tiny_sources import publish

from data_loaders import inventory, kriegeskorte2008
from data_loaders._files import locate
from neurocompare.errors import InputError

FILES_OF = {
    "cadieu2014": 1,
    "cichy2014": 94,
    "cifar10_jpeg": 1,
    "cowley2023": 15,
    "esc10": 200,
    "freemanziemba2013": 3,
    "fsdd": 1200,
    "harper2016_ns1": 22,
    "kay_yeatman2017": 1,
    "kriegeskorte2008": 2,
    "majaj2015": 3,
    "norman_haignere2015": 166,
    "norman_haignere2022": 34,
    "tiny_imagenet40": 1,
    "tuckute2023": 1,
}


def by_path(states):
    return {state.path: state for state in states}


@pytest.fixture
def only_kriegeskorte(server, monkeypatch, tmp_path):
    """Two files that a server has, and nothing here."""
    contents = {"a.mat": b"a", "b.mat": b"b"}
    publish(tmp_path / "elsewhere", monkeypatch, kriegeskorte2008, contents, server.url)
    server.files = {f"/kriegeskorte2008/{name}": content for name, content in contents.items()}
    return ["kriegeskorte2008"]


def test_inventory_follows_a_file_from_source_to_cache(only_kriegeskorte, server, cache):
    before = by_path(inventory.where(only_kriegeskorte))
    assert before["kriegeskorte2008/a.mat"].place == "source"
    assert before["kriegeskorte2008/a.mat"].location == f"{server.url}/kriegeskorte2008/a.mat"
    assert not server.requests, "looking fetches nothing"
    after = by_path(inventory.fetch(only_kriegeskorte))
    assert after["kriegeskorte2008/b.mat"].place == "cache"
    assert all(state.is_here for state in after.values())


def test_inventory_prefers_the_mirror_to_the_source(only_kriegeskorte, mirror):
    (mirror / "kriegeskorte2008").mkdir()
    (mirror / "kriegeskorte2008/a.mat").write_bytes(b"a")
    states = by_path(inventory.where(only_kriegeskorte))
    assert [states[f"kriegeskorte2008/{name}"].place for name in ("a.mat", "b.mat")] == ["mirror", "source"]
    inventory.fetch(only_kriegeskorte)
    states = by_path(inventory.where(only_kriegeskorte))
    assert [states[f"kriegeskorte2008/{name}"].place for name in ("a.mat", "b.mat")] == ["mirror", "cache"]


def test_inventory_reports_the_copy_that_a_loader_would_use(only_kriegeskorte, mirror, cache):
    for root in (mirror, cache):
        (root / "kriegeskorte2008").mkdir(parents=True)
        (root / "kriegeskorte2008/a.mat").write_bytes(b"a")
    state = by_path(inventory.where(only_kriegeskorte))["kriegeskorte2008/a.mat"]
    assert state.location == str(cache / "kriegeskorte2008/a.mat") == str(locate(kriegeskorte2008.FILES["a.mat"]))


def test_verifying_names_the_bad_file_and_leaves_it(only_kriegeskorte, cache):
    inventory.fetch(only_kriegeskorte)
    (cache / "kriegeskorte2008/a.mat").write_bytes(b"bad")
    states = by_path(inventory.verify(only_kriegeskorte))
    assert "expected" in states["kriegeskorte2008/a.mat"].fault
    assert states["kriegeskorte2008/b.mat"].fault is None
    assert (cache / "kriegeskorte2008/a.mat").read_bytes() == b"bad"
    inventory.fetch(only_kriegeskorte)
    assert by_path(inventory.verify(only_kriegeskorte))["kriegeskorte2008/a.mat"].fault is None


def test_the_inventory_covers_every_dataset_that_has_files(cache):
    states = inventory.where()
    assert {state.dataset for state in states} == set(FILES_OF)
    assert all(state.place == "source" and state.location.startswith("https://") for state in states)
    assert Counter(state.dataset for state in states) == FILES_OF
    with pytest.raises(InputError, match="dataset with files 'digits'"):
        inventory.where(["digits"])
