"""The folder that goes from job to job within a warm pool, and nothing else with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagemaker.contract.layout import Layout
from stagemaker.jobs.warm.cache import give_cache, take_cache


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where the pool keeps a host's cache."""
    return tmp_path / "pool" / "algo-1"


def fresh(folder: Path) -> Layout:
    """A new job's tree."""
    layout = Layout(folder)
    layout.make()
    return layout


def test_cache_moves_from_tree_to_tree(tmp_path: Path, kept: Path) -> None:
    """The first job finds it empty, the next one as it was left; between jobs it is in no tree."""
    first, second = fresh(tmp_path / "first"), fresh(tmp_path / "second")
    take_cache(kept, first)
    assert list(first.warm_pool_cache.iterdir()) == []
    (first.warm_pool_cache / "wheel").write_text("big")
    give_cache(kept, first)
    assert not first.warm_pool_cache.exists()
    take_cache(kept, second)
    assert (second.warm_pool_cache / "wheel").read_text() == "big"
    assert not kept.exists()


@pytest.mark.parametrize("what", ["cache", "parent"])
def test_link_in_its_place_is_not_followed(tmp_path: Path, kept: Path, what: str) -> None:
    """A job that puts a link there loses its cache; what the link names stays where it is."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "warmpoolcache").mkdir(parents=True)
    layout = fresh(tmp_path / "job")
    take_cache(kept, layout)
    layout.warm_pool_cache.rmdir()
    if what == "cache":
        layout.warm_pool_cache.symlink_to(elsewhere)
    else:
        layout.warm_pool_cache.parent.rmdir()
        layout.warm_pool_cache.parent.symlink_to(elsewhere)
    give_cache(kept, layout)
    assert not kept.exists()
    assert (elsewhere / "warmpoolcache").is_dir()


def test_cache_that_was_removed_is_begun_anew(tmp_path: Path, kept: Path) -> None:
    """No error for either job."""
    layout = fresh(tmp_path / "job")
    take_cache(kept, layout)
    layout.warm_pool_cache.rmdir()
    give_cache(kept, layout)
    again = fresh(tmp_path / "again")
    take_cache(kept, again)
    assert list(again.warm_pool_cache.iterdir()) == []
