"""``kexp publish RUN --to hub:OWNER/NAME``: one commit with the user's token, and every way in which it can fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from hub_stand_in import TOKEN, Hub, Repository, hub
from huggingface_hub import ModelCard, constants
from published_runs import trained
from support import kexp as kexp_line
from support import tiny_spec
from typer.testing import Result

import kexp.hub


@pytest.fixture(scope="module")
def run(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    return trained(reviews, folder, spec=tiny_spec(epochs=1)) / "default" / "seed-1"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine, to which the library is pointed as by the user's environment."""
    with hub() as held:
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("HF_ENDPOINT", held.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        # Read once, when the library is imported.
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", held.address)
        # Without the library's own protocol, which sends to a server of another kind.
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        kexp.hub.obstacle.cache_clear()
        yield held
    huggingface_hub.close_session()
    kexp.hub.obstacle.cache_clear()


def publish(run: Path, to: str, *more: str) -> Result:
    return kexp_line("publish", run, "--to", to, "--licence", "mit", *more)


def refused(run: Path, to: str, *more: str, status: int = 2) -> str:
    result = publish(run, to, *more)
    assert result.exit_code == status, result.output
    return result.stderr.strip().splitlines()[-1]


def test_repository_holds_what_the_folder_would(run: Path, stand_in: Hub, tmp_path: Path) -> None:
    result = publish(run, "hub:kim/korean-reviews", "--json")
    assert result.exit_code == 0, result.output
    repository = stand_in.repositories["kim/korean-reviews"]
    assert not repository.private
    told = json.loads(result.stdout)
    assert told["repository"] == "kim/korean-reviews"
    assert told["commit"].startswith(f"{stand_in.address}/kim/korean-reviews/commit/")
    assert repository.commits == ["kexp publish: 리뷰 default, seed 1"]
    folder = tmp_path / "korean-reviews"
    assert publish(run, str(folder)).exit_code == 0
    expected = {path.name: path.read_bytes() for path in folder.iterdir()}
    # The card says how to load it from where it is.
    card, local = repository.files["README.md"].decode(), expected.pop("README.md").decode()
    assert {
        name: of for name, of in repository.files.items() if name not in (".gitattributes", "README.md")
    } == expected
    assert card == local.replace('model="FOLDER"', 'model="kim/korean-reviews"').replace(
        "```sh\nkexp predict FOLDER", "```sh\nhf download kim/korean-reviews --local-dir model\nkexp predict model"
    ).replace("\nFOLDER is the folder of this file.\n", "\n")
    assert ModelCard(card).data.license == "mit"
    # The weights went as a large file, without which the commit would not hold them.
    assert [one for one in stand_in.requests if one.startswith("PUT /lfs/")]
    assert TOKEN not in result.output


def test_name_without_owner_is_the_users_own(run: Path, stand_in: Hub) -> None:
    assert publish(run, "hub:reviews", "--private").exit_code == 0
    assert stand_in.repositories["kim/reviews"].private


def test_commit_on_top_of_files_is_said_and_leaves_no_part_of_another_model(run: Path, stand_in: Hub) -> None:
    old = {"README.md": b"by hand", "notes.md": b"mine", "calibration.json": b"{}", "onnx/model.onnx": b"old"}
    old |= {"model-00001-of-00002.safetensors": b"old", ".gitattributes": b"x"}
    stand_in.repositories["kim/old"] = Repository(files=dict(old), commits=["first"])
    result = publish(run, "hub:kim/old")
    assert result.exit_code == 0, result.output
    assert "kim/old exists with 5 files: a commit is added" in result.stderr
    repository = stand_in.repositories["kim/old"]
    assert len(repository.commits) == 2
    assert {"notes.md", ".gitattributes", "model.safetensors"} <= set(repository.files)
    assert not {"calibration.json", "onnx/model.onnx", "model-00001-of-00002.safetensors"} & set(repository.files)
    assert repository.files["README.md"] != b"by hand"
    # Private is not made of what others may have read.
    assert "exists, and is public" in refused(run, "hub:kim/old", "--private")
    assert len(repository.commits) == 2


def test_names_that_are_none_are_refused_before_anything(run: Path, stand_in: Hub) -> None:
    for name in ("hub:", "hub:a/b/c", "hub:kim/한글", "hub:kim/two words", "hub:kim/-x", "hub:kim/a..b", "hub:/x"):
        assert "expected hub:OWNER/NAME" in refused(run, name), name
    assert stand_in.requests == []
    assert "--private is for a repository" in refused(run, "folder", "--private")


def test_without_token(run: Path, stand_in: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    message = refused(run, "hub:kim/x")
    assert "no token of the Hugging Face hub is known" in message
    assert "hf auth login" in message
    assert [one for one in stand_in.requests if "/api/" in one] == []


def test_offline(run: Path, stand_in: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEXP_OFFLINE", "1")
    assert "KEXP_OFFLINE or HF_HUB_OFFLINE is set" in refused(run, "hub:kim/x")
    monkeypatch.delenv("KEXP_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    kexp.hub.obstacle.cache_clear()
    message = refused(run, "hub:kim/x")
    assert "the Hugging Face hub does not answer; publish to a folder" in message
    assert stand_in.repositories == {}


def test_token_that_is_not_accepted(run: Path, stand_in: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "wrong" * 6)
    message = refused(run, "hub:kim/x")
    assert "the token is not accepted" in message
    assert "wrong" not in message


def test_owner_that_is_not_the_users(run: Path, stand_in: Hub) -> None:
    message = refused(run, "hub:klue/x", status=1)
    assert "--to hub:klue/x: the token may not write there: name an owner that is yours" in message
    assert stand_in.repositories == {}


@pytest.mark.parametrize(
    ("method", "path", "answer", "expected"),
    [
        ("POST", "commit/main", (403, "no"), "the token may not write there"),
        ("POST", "commit/main", (404, "gone"), "the hub does not find it"),
        ("POST", "commit/main", (409, "busy"), "another change is being made; try again"),
        ("POST", "commit/main", (418, "odd"), "the hub answers 418"),
        ("PUT", "/lfs/", (403, "no"), "model.safetensors"),
        ("POST", "/preupload/", (401, "no"), "the token is not accepted"),
        ("POST", "/api/validate-yaml", (400, "no"), "Invalid metadata in README.md"),
    ],
)
def test_a_failure_on_the_way_leaves_no_commit_and_says_what_is_there(
    run: Path, stand_in: Hub, method: str, path: str, answer: tuple[int, str], expected: str
) -> None:
    stand_in.answer = lambda of, at: answer if of == method and path in at else None
    message = refused(run, "hub:kim/new", status=1)
    assert expected in message
    assert "kim/new has no new commit, and is there without files" in message
    assert stand_in.repositories["kim/new"].commits == []
    # The next try goes through.
    stand_in.answer = lambda of, at: None
    assert publish(run, "hub:kim/new").exit_code == 0
    assert len(stand_in.repositories["kim/new"].commits) == 1


def test_interrupted(run: Path, stand_in: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    stand_in.repositories["kim/x"] = Repository(commits=["first"])
    with monkeypatch.context() as patch:
        patch.setattr(huggingface_hub.HfApi, "preupload_lfs_files", interrupt)
        message = refused(run, "hub:kim/x", status=130)
    assert message == "interrupted: kim/x has no new commit; publish again, what was sent need not be sent again"
    assert stand_in.repositories["kim/x"].commits == ["first"]
