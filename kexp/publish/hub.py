"""A published folder as one commit in a model repository of the Hugging Face hub, with the user's token."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp import hub
from kexp.errors import KexpError, RunFailed, RunInterrupted
from kexp.hub import reason_of
from kexp.publish.folder import SPEC, TAKEN

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PREFIX = "hub:"
TOKEN_HELP = (
    "make one that may write at https://huggingface.co/settings/tokens, then use `hf auth login` or set HF_TOKEN"
)
REPLACED = re.compile(rf"{TAKEN.pattern}|onnx/.*|checksums\.json|{re.escape(SPEC)}")
"""Files in a repository that belong to a model which was published before, and would mislead beside another one."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A model repository that the user may write to, as far as is known; ``files`` is empty for a new one."""

    api: HfApi
    id: str
    exists: bool
    private: bool
    files: tuple[str, ...]

    def sentence(self) -> str:
        """Say what a commit meets there; "" for a new or empty repository."""
        others = [name for name in self.files if name != ".gitattributes"]
        if not others:
            return ""
        old = [name for name in others if REPLACED.fullmatch(name)]
        count = f"{len(others)} file{'' if len(others) == 1 else 's'}"
        model = f", the model there ({', '.join(old)}) too" if old else ""
        replaced = f"replaces those of the same names{model}"
        return f"{self.id} exists with {count}: a commit is added, which {replaced}; earlier ones stay in its history"


def find_repository(target: str, *, private: bool) -> Repository:
    """Look at ``hub:OWNER/NAME``, or at ``hub:NAME`` of the user's own, before anything is made.

    Raises ``KexpError`` for a name that is none, without network or token, and for a token that is not accepted.
    """
    name = _checked_name(target)
    if obstacle := hub.obstacle():
        raise KexpError(f"--to {target}: {obstacle}; publish to a folder, or try again where there is a network")
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import RepositoryNotFoundError

    token = get_token()
    if token is None:
        raise KexpError(f"--to {target}: no token of the Hugging Face hub is known; {TOKEN_HELP}")
    api = HfApi(token=token, library_name="kexp")
    with _explained(target, KexpError):
        if "/" not in name:
            name = f"{api.whoami()['name']}/{name}"
        else:
            api.whoami()
        try:
            info = api.model_info(name)
        except RepositoryNotFoundError:
            return Repository(api, name, False, private, ())
    if private and not info.private:
        remedy = "make it private in its settings, or leave --private out"
        raise KexpError(f"--to {target}: {name} exists, and is public; {remedy}")
    files = tuple(one.rfilename for one in info.siblings or ())
    return Repository(api, name, True, bool(info.private), files)


def push(repository: Repository, folder: Path, message: str, progress: Callable[[str], None]) -> str:
    """Make the repository if there is none, add all files of a folder in one commit, and return the commit's address.

    What an earlier model left there and the new one has not is removed by the same commit. Raises ``RunFailed`` or
    ``RunInterrupted`` where there is no commit, with what is there instead.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api, name = repository.api, repository.id
    with _explained(f"{PREFIX}{name}", RunFailed):
        if not repository.exists:
            api.create_repo(name, private=repository.private, exist_ok=False)
            progress(f"made the {'private' if repository.private else 'public'} repository {name}")
    added = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    stale = [path for path in repository.files if REPLACED.fullmatch(path) and path not in added]
    operations: list[Any] = [CommitOperationAdd(path, file) for path, file in added.items()]
    operations += [CommitOperationDelete(path) for path in stale]
    left = f"{name} has no new commit" + ("" if repository.exists else ", and is there without files")
    progress(f"sending {len(added)} files to {name}")
    try:
        with _explained(f"{PREFIX}{name}", RunFailed, left), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # upload_folder may make several commits, of which an interrupted one leaves half a model.
            commit = api.create_commit(name, operations, commit_message=message)
    except KeyboardInterrupt:
        raise RunInterrupted(f"interrupted: {left}; publish again, what was sent need not be sent again") from None
    return str(commit.commit_url)


def _checked_name(target: str) -> str:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    name = target.removeprefix(PREFIX)
    try:
        validate_repo_id(name)
    except HFValidationError:
        rules = 'letters, digits, "-", "_" and "." only, at most 96, with no "-" or "." at an end or twice in a row'
        raise KexpError(f"--to {target}: expected hub:OWNER/NAME, of {rules}") from None
    return name


@contextmanager
def _explained(target: str, kind: type[KexpError], left: str = "") -> Iterator[None]:
    """Raise errors of the hub as those of kexp, with what to do; ``left`` says what is there instead."""
    from huggingface_hub.errors import HfHubHTTPError

    after = f"; {left}" if left else ""
    try:
        yield
    except KexpError:
        raise
    except HfHubHTTPError as error:
        remedies = {
            401: f"the token is not accepted; {TOKEN_HELP}",
            402: "the hub asks for payment for this; see the settings of the account",
            403: f"the token may not write there: name an owner that is yours, or {TOKEN_HELP}",
            404: "the hub does not find it; check owner and name",
            409: "there is one of this name already, or another change is being made; try again",
            413: "the hub refuses files of this size",
            429: "too many requests; try again later",
        }
        status = error.response.status_code
        what = remedies.get(status, f"the hub answers {status}: {reason_of(error)}; try again later")
        raise kind(f"--to {target}: {what}{after}") from error
    # What the library raises for a connection that breaks, or for a card that the hub refuses.
    except Exception as error:
        raise kind(f"--to {target}: {reason_of(error)}{after}") from error
