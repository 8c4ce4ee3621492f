from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ConfigError
from runtime import config
from runtime.site import PathsConfig, Site, SiteConfig


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    limit: int = 1


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    port: int = 80
    host: str = "a"
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ValueError(f"port {self.port} must lie in 1..65535")


SECTIONS: dict[str, type[msgspec.Struct]] = {"api": Section, "site": SiteConfig}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[site]\nid="x"\n[api]\nprot = 1\n', 4, ["api.prot", "未知的键", "'port'"]),
        ('[site]\nid="x"\n[apu]\nport = 1\n', 3, ["未知的节", "'api'"]),
        ('[site]\nid="x"\n[api]\nhost = "b"\nport = "80"\n', 5, ["api.port", "Expected `int`"]),
        ('[site]\nid="x"\n[api]\nport = 0\n', 4, ["1..65535"]),
        (
            '[site]\nid="x"\n\n[[api.rules]]\nname="a"\n[[api.rules]]\nname="b"\nlimt=3\n',
            8,
            ["未知的键", "'limit'"],
        ),
        ('[site]\nid="x"\n[[api.rules]]\nname="a"\nlimit="many"\n', 5, ["Expected `int`"]),
        ("[site]\n[api]\nport = 1\n", 1, ["missing required field `id`"]),
    ],
)
def test_wrong_file_then_refused_with_file_line_key_and_way_out(
    tmp_path: Path, text: str, line: int, words: list[str]
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        config.load(path, SECTIONS)
    message = str(refused.value)
    assert f"{path}:{line}:" in message
    for word in words:
        assert word in message


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[api]\nprot = 1\n[nonsense]\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        config.load(path, SECTIONS)
    assert len(str(refused.value).splitlines()) == 3


def test_syntax_error_and_missing_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[api\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 1"):
        config.load(path, SECTIONS)
    with pytest.raises(ConfigError, match="没有此配置文件"):
        config.load(tmp_path / "absent.toml", SECTIONS)


def test_good_file_then_defaults_fill_what_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "good.toml"
    path.write_text('[site]\nid = "152921"\n[api]\nport = 8600\n', encoding="utf-8")
    loaded = config.load(path, SECTIONS)
    assert loaded["api"] == Section(port=8600)


@given(st.text(max_size=200))
def test_any_text_is_loaded_or_refused_in_words(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "any.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ConfigError):
        loaded = config.load(path, SECTIONS)
        assert isinstance(loaded["site"], SiteConfig)


def test_socket_folder_too_long_then_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="过长"):
        Site(SiteConfig(id="x"), PathsConfig(run="r" * 90), tmp_path).endpoint("log")


@pytest.mark.parametrize(("mode", "content", "words"), [(0o644, b"s", "chmod 600"), (0o600, b"\n", "为空")])
def test_secret_open_to_others_or_empty_then_refused(
    tmp_path: Path, mode: int, content: bytes, words: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=words):
        config.read_secret(path, "webhook")
