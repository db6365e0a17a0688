from __future__ import annotations

from pathlib import Path

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from stagemaker.wire import model as model_module
from stagemaker.wire.model import cache_folder, load_service_model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and nothing remembered in this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model_module.load_service_model.cache_clear()
    return cache_folder()


@pytest.fixture(autouse=True)
def forget() -> object:
    """Leave no model of these tests behind for others."""
    yield
    model_module.load_service_model.cache_clear()


def test_a_model_is_kept_and_read_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first load writes a copy; the second reads it and never asks botocore's loader."""
    first = load_service_model("logs")
    assert [file.name for file in cache.iterdir()] == ["logs.marshal"]
    model_module.load_service_model.cache_clear()
    monkeypatch.setattr(model_module, "_read_from_botocore", None)
    assert load_service_model("logs").operation_names == first.operation_names


def test_a_broken_copy_is_replaced(cache: Path) -> None:
    """Whatever the file holds, the model is right and the copy good afterwards."""
    cache.mkdir(parents=True)
    for broken in (b"", b"rubbish", b"\xe9\x00"):
        (cache / "logs.marshal").write_bytes(broken)
        model_module.load_service_model.cache_clear()
        assert "PutLogEvents" in load_service_model("logs").operation_names
        assert len((cache / "logs.marshal").read_bytes()) > 10_000


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache is no error."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    model_module.load_service_model.cache_clear()
    assert "PutLogEvents" in load_service_model("logs").operation_names


@pytest.mark.parametrize("service", ["logs", "cloudwatch"])
def test_nothing_but_prose_is_left_out(service: str, cache: Path) -> None:
    """Every shape has botocore's members, types, rules and errors, also those that have the names of prose."""
    ours = load_service_model(service)
    theirs = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    assert ours.metadata == theirs.metadata
    assert ours.operation_names == theirs.operation_names
    assert ours.shape_names == theirs.shape_names
    for name in theirs.shape_names:
        mine, botocores = ours.shape_for(name), theirs.shape_for(name)
        assert mine.metadata == botocores.metadata
        assert mine.serialization == botocores.serialization
        assert {k: v.name for k, v in getattr(mine, "members", {}).items()} == {
            k: v.name for k, v in getattr(botocores, "members", {}).items()
        }
