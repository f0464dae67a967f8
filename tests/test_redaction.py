from __future__ import annotations

import logging
import pickle
import warnings

import pytest
from pydantic import SecretStr, TypeAdapter

from kexp import redaction
from kexp.errors import KexpError
from kexp.options import Address, LocalPath, Section
from kexp.redaction import hidden, hiding_in_logs, mask_parts, remember_secrets, without_passwords
from kexp.search.silence_optuna import quiet_optuna
from kexp.search.storage import open_storage


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://user:secret@host/db", "postgresql://user:***@host/db"),
        ("see http://user:p/a:s@host:80/ for more", "see http://user:***@host:80/ for more"),
        ("postgresql+psycopg://u:p@X@host/db", "postgresql+psycopg://u:***@host/db"),
        ("postgresql://u:p:q@[::1]:5432/db", "postgresql://u:***@[::1]:5432/db"),
        ("grpc://u:X@h:13000", "grpc://u:***@h:13000"),
        ("mysql://h/db?user=me&password=X1&charset=utf8", "mysql://h/db?user=me&password=***&charset=utf8"),
        ("mysql://h/db?PASSWD=X1;pwd=X2", "mysql://h/db?PASSWD=***;pwd=***"),
        ("https://s3/b?X-Amz-Signature=ab&X-Amz-Credential=cd", "https://s3/b?X-Amz-Signature=***&X-Amz-Credential=***"),
        ("https://tok123@host/f.csv", "https://***@host/f.csv"),
        ("https://tok123:@host/f.csv", "https://***@host/f.csv"),
        # Path joins two slashes to one.
        ("/work/https:/u:t@host/f", "/work/https:/u:***@host/f"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("{'Authorization': 'Basic dTpw'}", "{'Authorization': 'Basic ***'}"),
        ("X-Api-Key: abc", "X-Api-Key: ***"),
        ("sent 'Bearer eyJ0.abc1' away", "sent 'Bearer ***' away"),
        ("api_key='a b' token=cd, HF_TOKEN=ef", "api_key='***' token=***, HF_TOKEN=***"),
        ("--api-token abc", "--api-token ***"),
        ("invalid hf_abcdefghijklmnopqrst given", "invalid *** given"),
    ],
)  # fmt: skip
def test_secrets_are_told_by_where_they_stand(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
    assert without_passwords(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "", "journal", "postgresql://user@host/db", "http://host:80/", "a:b@c", "grpc://host:13000", "비밀번호: 없음",
        "a basic understanding", "loss=0.3 tokens=3 key=5", "unknown token: 가", "pad_token='[PAD]'", "/data/a=b/c.csv",
        "e200fa1378e046e5e200fa1378e046e5e200fa13", "https://huggingface.co/datasets?author=me",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_passwords(text) == text


def test_known_secrets_are_hidden_wherever_they_occur(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef0123")
    monkeypatch.setenv("KEXP_STORAGE", "mysql://u:in-the-storage1@host/db")
    monkeypatch.setenv("SSL_KEY_FILE", "/etc/keys/host1.pem")
    remember_secrets("p@ss/w0rd")
    assert without_passwords("key 0123456789abcdef0123 of p%40ss%2Fw0rd, in-the-storage1") == "key *** of ***, ***"
    assert without_passwords("/etc/keys/host1.pem") == "/etc/keys/host1.pem"
    assert hidden({"p@ss/w0rd": ["p@ss/w0rd", ("p@ss/w0rd", 3)]}) == {"p@ss/w0rd": ["***", ["***", 3]]}


def test_plain_words_are_hidden_in_addresses_alone() -> None:
    remember_secrets("postgres")
    assert without_passwords("postgres://postgres:postgres@h: no user postgres") == (
        "postgres://postgres:***@h: no user postgres"
    )


def test_message_of_a_driver_tells_no_part_of_the_password() -> None:
    address = "postgresql+psycopg://u:p@X@host/db"
    assert mask_parts("failed to resolve host 'X@host', X", address) == "failed to resolve host '***@host', ***"


def test_long_texts_take_no_quadratic_time() -> None:
    for text in ("a." * 300_000, "a://b:" * 100_000 + "@", "x=" * 300_000, "a_" * 300_000 + "=", "bearer " * 100_000):
        without_passwords(text)


def test_logs_warnings_and_tracebacks_hide_secrets(caplog: pytest.LogCaptureFixture) -> None:
    with hiding_in_logs():
        try:
            raise ValueError("http://u:hunter2@host")
        except ValueError:
            logging.getLogger("kexp").error("failed at %s", "http://u:hunter2@host", exc_info=True)
        assert warnings.formatwarning("http://u:hunter2@host", UserWarning, "f", 1).count("***") == 1
    assert "http://u:***@host" in caplog.text
    assert "ValueError" in caplog.text
    assert "hunter2" not in caplog.text


class Service(Section):
    place: Address
    token: SecretStr = SecretStr("t0ken-of-mine")


def test_address_shows_no_password_and_gives_it_to_its_component() -> None:
    options = Service(place="http://u:hunter2@host")  # type: ignore[arg-type]
    assert options.place.get_secret_value() == "http://u:hunter2@host"
    for shown in (str(options.place), repr(options), options.model_dump_json(), str(options.model_dump(mode="json"))):
        assert "hunter2" not in shown
        assert "t0ken" not in shown
    assert pickle.loads(pickle.dumps(options)) == options
    with_secrets = options.model_dump(mode="json", context={"secrets": True})
    assert with_secrets == {"place": "http://u:hunter2@host", "token": "t0ken-of-mine"}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("u:p@X@host", "u:***@host"), ("postgresql://u:p X@host/db", "postgresql://u:***@host/db"),
        ("host=h user=u password=X", "host=h user=u password=***"), ("https://X1:@host", "https://***@host"),
        ("https://h/?user=u&password=X", "https://h/?user=u&password=***"), ("journal", "journal"),
        ("sqlite:///a.db", "sqlite:///a.db"), ("databricks://profile", "databricks://profile"),
        ("postgresql://u@host:5432/db", "postgresql://u@host:5432/db"), ("http://host:80/", "http://host:80/"),
    ],
)  # fmt: skip
def test_address_is_masked_as_a_whole(address: str, shown: str) -> None:
    assert str(Address(address)) == shown
    assert redaction.is_masked(shown) == (shown != address and "=" not in shown.partition("?")[0])


def test_hidden_address_is_found_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Address("http://u:***@host").get_secret_value() == "http://u:***@host"
    monkeypatch.setenv("ANY_NAME", "http://u:hunter2@host")
    assert Address("http://u:***@host").get_secret_value() == "http://u:hunter2@host"
    assert Address("http://u:***@other").get_secret_value() == "http://u:***@other"


def test_address_is_no_local_path() -> None:
    with pytest.raises(ValueError, match=r'expected a file or folder, found the address "https://u:\*\*\*@host/f.csv"'):
        TypeAdapter(LocalPath).validate_python("https://u:hunter2@host/f.csv")


@pytest.mark.parametrize(
    "place", ["nonsense://u:p@X9@h/db", "grpc://u:X9@127.0.0.1", "postgresql+psycopg://u:p@X9@127.0.0.1:1/db"]
)
def test_storage_that_cannot_be_used_tells_no_password(
    place: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kexp.search.storage.PATIENCE", 0.2)
    monkeypatch.setattr("kexp.search.storage.ATTEMPTS", 1)
    with quiet_optuna(), pytest.raises(KexpError, match=r"search\.storage: ") as caught:
        open_storage(place, tmp_path, print)  # type: ignore[arg-type]
    assert "X9" not in str(caught.value)
