"""``kexp.weights_licence``: what is known of the licence of weights in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kexp.publish.licences import SHARE_ALIKE, UNKNOWN, Licence
from kexp.weights_licence import stated_licence


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: cc-by-nc-4.0\nlanguage: ko\n---\n# A model\n", "cc-by-nc-4.0"),
        ("---\nlicense: [mit, cc-by-sa-4.0]\n---\n", "mit, cc-by-sa-4.0"),
        ("---\nlicense: other\nlicense_name: llama3\n---\n", "llama3, a licence of its own, see its card"),
        ("---\nlanguage: ko\n---\nlicense: mit\n", ""),
        ("---\nlicense: [\n---\n", ""),
        ("---\n- license\n---\n", ""),
        ("# A model under the MIT licence\n", ""),
    ],
)
def test_a_model_card_states_it(tmp_path: Path, card: str, licence: str) -> None:
    (tmp_path / "README.md").write_text(card, "utf-8")
    assert stated_licence(tmp_path) == licence


def run_folder(folder: Path, data: dict[str, Any], weights: dict[str, Any]) -> Path:
    model = folder / "default" / "seed-1" / "model"
    model.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({"variants": {"default": {"data": {"dataset": data}}}}), "utf-8")
    (model.parent / "result.json").write_text(json.dumps({"variant": "default", "backbone": weights}), "utf-8")
    return model


def test_a_model_of_a_run_has_the_licences_of_its_data_and_weights(tmp_path: Path) -> None:
    weights = {"source": "owner/model", "licence": "MIT"}
    text = stated_licence(run_folder(tmp_path / "a", {"licence": "CC BY-NC 4.0"}, weights))
    assert text == "of its data CC BY-NC 4.0; of its weights MIT"
    assert Licence("the weights", text).kind == "non-commercial"
    fresh = stated_licence(run_folder(tmp_path / "b", {}, {"licence": "Apache-2.0"}))
    assert fresh == "of its data not known"
    assert Licence("the weights", fresh).kind == UNKNOWN
    shared = stated_licence(run_folder(tmp_path / "c", {}, {"source": "x/y", "licence": "CC BY-SA 4.0"}))
    assert Licence("the weights", shared).kind == SHARE_ALIKE


def test_nothing_is_said_of_other_folders(tmp_path: Path) -> None:
    assert stated_licence(tmp_path) == ""
    (tmp_path / "result.json").write_text("[1", "utf-8")
    (tmp_path / "model").mkdir()
    assert stated_licence(tmp_path / "model") == ""
