"""Configuration: TOML into frozen structs. A wrong file never starts anything.

Every refusal names file, line, key and what to write instead. Sections are structs with `forbid_unknown_fields`;
cross-field rules sit in their `__post_init__` and raise ValueError with a sentence.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from contracts.errors import ConfigError

_KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_TABLE = re.compile(r"^\s*\[(\[?)\s*([^\]]+?)\s*\]?\]")
_UNKNOWN = re.compile(r"contains unknown field `([^`]+)`")
_SYNTAX_LINE = re.compile(r"at line (\d+)")
_COMMENT = re.compile(r"\s*#")
_TEXT_MARKS = ('"""', "'''")
_PATH = re.compile(r" - at `\$([^`]*)`")


def load(path: Path, sections: Mapping[str, type[msgspec.Struct]]) -> dict[str, msgspec.Struct]:
    """Read `path` and convert each section; a section that is absent gets its defaults.

    Raises ConfigError for a missing or unreadable file, TOML errors, unknown sections and keys, wrong types and
    values that the section's own rules refuse. The first mistake of every section is told, one per line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: 没有此配置文件 (no such file); 请检查路径, 或用 --config 指定") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: 配置文件无法读取 (cannot be read): {error}") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _SYNTAX_LINE.search(str(error))
        where = f"{path}:{at[1]}" if at else str(path)
        raise ConfigError(f"{where}: TOML 语法错误 (syntax): {error}") from None
    lines = _key_lines(text)
    result: dict[str, msgspec.Struct] = {}
    mistakes = [
        _unknown(path, lines, (name,), name, list(sections), "节 (section)")
        for name in table
        if name not in sections
    ]
    for name, type_ in sections.items():
        try:
            result[name] = msgspec.convert(table.get(name, {}), type_, strict=True)
        except msgspec.ValidationError as error:
            mistakes.append(_explain(path, lines, name, type_, str(error)))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return result


def _key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Line number of every table header and key, by dotted path; array tables carry their index."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    inside = ""
    for number, line in enumerate(text.split("\n"), 1):
        # What stands inside a text of several lines only looks like headers and keys.
        if inside:
            inside = "" if inside in line else inside
            continue
        inside = next((mark for mark in _TEXT_MARKS if line.count(mark) % 2 and not _COMMENT.match(line)), "")
        if header := _TABLE.match(line):
            table = _split(header[2])
            if header[1]:
                index = counts.get(table, 0)
                counts[table] = index + 1
                table = (*table, str(index))
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_split(key[1])), number)
    return lines


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in re.findall(r""""[^"]*"|'[^']*'|[^.]+""", dotted))


def _explain(
    path: Path, lines: Mapping[tuple[str, ...], int], section: str, type_: type[msgspec.Struct], message: str
) -> str:
    at = _PATH.search(message)
    keys = (section, *re.findall(r"[A-Za-z0-9_-]+", at[1] if at else ""))
    plain = _PATH.sub("", message)
    if unknown := _UNKNOWN.search(plain):
        struct = _struct_at(type_, keys[1:])
        names = [field.encode_name for field in msgspec.structs.fields(struct)] if struct else []
        return _unknown(path, lines, (*keys, unknown[1]), unknown[1], names, "键 (key)")
    # A rule of the whole section names the keys that it is about: the first that is written is the place to look.
    named = ((*keys, word) for word in re.findall(r"[A-Za-z0-9_]+", plain))
    line = next((lines[key] for key in named if key in lines), _line(lines, keys))
    hint = "; 请改为所要求的类型 (write the expected type)" if plain.startswith("Expected") else ""
    return f"{path}:{line}: {'.'.join(keys)}: {plain}{hint}"


def _unknown(
    path: Path,
    lines: Mapping[tuple[str, ...], int],
    keys: tuple[str, ...],
    name: str,
    known: list[str],
    what: str,
) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    way_out = f"是否为 '{near[0]}'? (did you mean this?)" if near else f"可用 (known): {', '.join(sorted(known))}"
    return f"{path}:{_line(lines, keys)}: {'.'.join(keys)}: 未知的{what} '{name}'; {way_out}"


def _line(lines: Mapping[tuple[str, ...], int], keys: tuple[str, ...]) -> int:
    for length in range(len(keys), 0, -1):
        if keys[:length] in lines:
            return lines[keys[:length]]
    return 1


def _struct_at(type_: Any, keys: tuple[str, ...]) -> type[msgspec.Struct] | None:
    """The struct that a path leads to, through nested structs, tuples and dicts."""
    for key in keys:
        if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
            fields = {field.encode_name: field.type for field in msgspec.structs.fields(type_)}
            type_ = fields.get(key)
        else:
            arguments = getattr(type_, "__args__", ())
            type_ = arguments[-1] if arguments and arguments[-1] is not Ellipsis else (arguments or (None,))[0]
    while not (isinstance(type_, type) and issubclass(type_, msgspec.Struct)):
        inner = [each for each in getattr(type_, "__args__", ()) if each not in (type(None), Ellipsis)]
        if not inner:
            return None
        type_ = inner[-1]
    return type_


def read_secret(path: Path, what: str) -> bytes:
    """The content of a secret file without the white space around it.

    Raises ConfigError when it is missing, empty, or readable by others than its owner.
    """
    try:
        mode = path.stat().st_mode & 0o777
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"{path}: {what} 的密钥文件无法读取 (secret file): {error}") from None
    if mode & 0o077:
        raise ConfigError(f"{path}: {what} 的密钥文件他人可读 (mode {mode:o}); 请执行 chmod 600 {path}")
    if not secret:
        raise ConfigError(f"{path}: {what} 的密钥文件为空 (secret file is empty)")
    return secret
