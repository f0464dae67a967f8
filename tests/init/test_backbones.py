"""Which backbone ``kexp init`` suggests, by what the machine holds and what can be had."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from support import kexp

from kexp.catalog import load_catalog
from kexp.errors import KexpError
from kexp.init import backbones

REVIEWS = [
    "text,label",
    *(f"어제 본 영화는 {'정말 재미있었다' if n % 2 else '무척 지루했다'} {n}번,{n % 2}" for n in range(60)),
]


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "obstacle", lambda: "")


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("most", "chosen"),
    [
        (1, {"use": "koelectra", "size": "small"}),
        (backbones.CPU_PARAMETERS, {"use": "koelectra", "size": "small"}),
        # klue's roberta-small is larger, but its licence asks to share alike.
        (backbones.SMALL_GPU_PARAMETERS, {"use": "koelectra", "size": "small"}),
        (backbones.GPU_PARAMETERS, {"use": "kcelectra", "model": "base-v2022"}),
    ],
)
def test_the_largest_that_fits_and_whose_licence_asks_little(most: int, chosen: dict[str, str]) -> None:
    assert backbones.choose(load_catalog(), most)[0].table == chosen


def test_off_the_network_a_fresh_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "obstacle", lambda: "HF_HUB_OFFLINE is set")
    chosen, why = backbones.choose(load_catalog(), 30)
    assert chosen.table == {"use": "tiny"}
    assert why == "HF_HUB_OFFLINE is set, and no Korean model is on this machine"


def test_without_korean_models_a_fresh_model() -> None:
    chosen, why = backbones.choose(load_catalog(block=["kexp-korean"]), 30)
    assert chosen.table == {"use": "tiny"}
    assert why.startswith("no installed package names Korean models; kexp-korean")


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("koelectra", {"use": "koelectra", "size": "small"}),
        ("klue roberta-base", {"use": "klue", "model": "roberta-base"}),
        ("klue/roberta-base", {"use": "klue", "model": "roberta-base"}),
        ("kf-deberta", {"use": "kf-deberta"}),
        ("someone/some-model", {"use": "hf", "id": "someone/some-model"}),
    ],
)
def test_names_of_backbones(name: str, table: dict[str, str]) -> None:
    assert backbones.named(name, load_catalog()).table == table


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(KexpError, match='did you mean "koelectra"'):
        backbones.named("koelektra", load_catalog())


def test_a_folder_without_a_model_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("\n".join(REVIEWS), "utf-8")
    (tmp_path / "model").mkdir()
    made = kexp("init", tmp_path / "data.csv", "--output", tmp_path / "spec.toml", "--model", tmp_path / "model")
    assert made.exit_code == 2
    assert f"{tmp_path / 'model'}" in made.stderr
    assert "Traceback" not in made.stderr
    assert not (tmp_path / "spec.toml").exists()


@pytest.mark.usefixtures("online")
def test_the_spec_says_size_licence_download_and_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "machine", lambda: ("a CPU of 4 cores", backbones.CPU_PARAMETERS))
    (tmp_path / "data.csv").write_text("\n".join(REVIEWS), "utf-8")
    made = kexp("init", tmp_path / "data.csv", "--output", tmp_path / "spec.toml")
    assert made.exit_code == 0, made.stderr
    text = (tmp_path / "spec.toml").read_text("utf-8")
    assert "# koelectra small, 14 million parameters, Apache-2.0; downloaded when it is first used" in text
    assert "# For a CPU of 4 cores. Others:\n# klue roberta-small, 68 million parameters, CC BY-SA 4.0\n" in text
    assert "(an estimate from the number of characters; kexp data counts tokens)" in text
    assert tomllib.loads(text)["training"]["learning_rate"] == 1e-4


@pytest.mark.shared
def test_a_folder_is_relative_to_the_spec_and_counts_its_tokens(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "data.csv").write_text("\n".join(REVIEWS), "utf-8")
    model = shared / "models/ko-mini"
    made = kexp("init", tmp_path / "data.csv", "--output", tmp_path / "spec.toml", "--model", model)
    assert made.exit_code == 0, made.stderr
    text = (tmp_path / "spec.toml").read_text("utf-8")
    backbone = tomllib.loads(text)["backbone"]
    assert (tmp_path / backbone["path"]).resolve() == model.resolve()
    assert "(measured)" in text
