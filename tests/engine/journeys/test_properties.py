"""Random rows, options and manifests, and mutants of tables: nothing crashes, no row is lost, no value changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.torture import fuzz, tries
from tests.torture.seeds import Try, attempt, try_seeds

from saliency_engine.cli.app import main_group
from saliency_engine.config import OPTIONS, RunConfig, load_options, split_options
from saliency_engine.errors import ConfigError
from saliency_engine.jobs.points import expand
from saliency_engine.table_job import TableJob

SETTINGS = settings(max_examples=300)

# Rows

names = st.sampled_from(["src", "saliency_mean", "saliency_status", "k", "é", '"', "a", ""]) | st.text(max_size=3)
texts = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates, too
numbers = st.integers(-(2**65), 2**65) | st.sampled_from([2**53 + 1, -(2**63), 2**63]) | st.floats()
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(names, v, max_size=3), max_leaves=8)
objects = st.dictionaries(names, values, max_size=6)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A table of lines: rows written in many ways, and some that are none."""
    out = []
    for row in draw(st.lists(objects | values, max_size=6)):
        separators = draw(st.sampled_from([(", ", ": "), (",", ":"), (" ,\t", " : "), ("\r,", ":\r")]))
        text = json.dumps(row, ensure_ascii=draw(st.booleans()), separators=separators)
        line = text.encode("utf-8", draw(st.sampled_from(["surrogatepass", "backslashreplace"])))
        junk = draw(st.sampled_from([b"", b"", b"", b"", b"{", b"\x00", b"\xff", line, b"\xef\xbb\xbf"]))
        out.append(line + junk if draw(st.booleans()) else junk + line)
        out.append(draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n", b"\n \t\r\n"])))
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + b"".join(out[: -1 if draw(st.booleans()) else None])


@SETTINGS
@given(lines())
def test_any_lines_come_out_with_their_fields_or_are_rejected_as_they_were(data: bytes) -> None:
    assert attempt(tries.lines, data) == "read"


@SETTINGS
@given(lines())
def test_any_lines_become_rows_of_the_same_values_or_are_rejected(data: bytes) -> None:
    assert attempt(tries.lines_to_arrow, data) in {"read", "refused"}


# Options

anything = st.none() | st.booleans() | numbers | texts | st.lists(texts, max_size=2) | st.binary(max_size=3)


def option(name: str) -> st.SearchStrategy[Any]:
    """Values of the option's own kind, good ones often."""
    default, choices = OPTIONS[name].default, OPTIONS[name].metadata["choices"]
    if choices:
        return st.sampled_from(choices)
    if isinstance(default, tuple):
        return st.lists(st.text("abc", max_size=3), max_size=2).map(tuple)
    if isinstance(default, bool):
        return st.booleans()
    if isinstance(default, float):
        return st.floats(0.1, 1.0)
    if default == "auto" or isinstance(default, int):
        whole: st.SearchStrategy[Any] = st.integers(1, 5000)
        return whole | st.just("auto") if default == "auto" else whole
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


BASE = {"input": "in.jsonl", "output": "out.jsonl", "model": "m"}
good_options = st.fixed_dictionaries({}, optional={name: option(name) for name in OPTIONS})
bad_options = st.dictionaries(st.sampled_from([*OPTIONS]), anything, max_size=4)


def configs(options: dict[str, Any]) -> tuple[TableJob, RunConfig] | None:
    try:
        return split_options(options)
    except ConfigError:
        return None


@SETTINGS
@given(good_options, bad_options)
def test_any_options_are_taken_or_refused_by_name(good: dict[str, Any], bad: dict[str, Any]) -> None:
    configs({**BASE, **good, **bad})


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml, value))}]"
    return "".join(f"\\U{ord(letter):08x}" for letter in value).join('""') if isinstance(value, str) else repr(value)


@SETTINGS
@given(good_options)
def test_options_mean_the_same_in_a_file_on_the_command_line_and_from_python(
    tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any]
) -> None:
    options = {**BASE, **options}
    expected = configs(options)
    assume(expected is not None)
    path = tmp_path_factory.getbasetemp() / "options.toml"
    path.write_text("".join(f"{name.replace('_', '-')} = {toml(value)}\n" for name, value in options.items()))
    from_file = split_options(load_options(path))
    arguments = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, tuple):
            arguments += [f"{flag}={item}" for item in value]
        elif not isinstance(value, bool):
            arguments.append(f"{flag}={value}")
        elif value:
            arguments.append(flag)
    command = main_group.commands["run"]
    given_options = command.make_context("run", arguments).params
    given_options.pop("config_file")
    job, points = expand({name: value for name, value in given_options.items() if value not in (None, ())})
    assert (job, *points) == from_file == expected


# Manifests and entries

json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=4), v, max_size=3),
    max_leaves=6,
)
good_entry = {
    "id": "mine_v1",
    "sha256": "a" * 64,
    "licence": "BSD",
    "input_size": "320x320",
    "preprocessing": "imagenet",
    "source": "file",
    "variant_of": None,
    "verified": {"how": "signature", "identity": "https://x", "issuer": "https://y"},
}
entry_changes = st.dictionaries(st.sampled_from([*good_entry, "more"]), json_values, max_size=2)
evidence_changes = st.dictionaries(st.sampled_from(["how", "identity", "issuer", "more"]), json_values, max_size=2)


@SETTINGS
@given(entry_changes, evidence_changes, st.sampled_from([*good_entry]))
def test_any_entry_of_a_model_is_read_or_refused(entry: dict[str, Any], evidence: dict[str, Any], gone: str) -> None:
    document = {**good_entry, "verified": {**good_entry["verified"], **evidence}, **entry}  # type: ignore[dict-item]
    for changed in (document, {key: value for key, value in document.items() if key != gone}):
        assert attempt(tries.entry, json.dumps(changed).encode()) in {"read", "refused"}


@SETTINGS
@given(json_values, st.sampled_from(["schema", "outputs", "onnx_sha256"]))
def test_any_manifest_is_read_or_refused(value: Any, key: str) -> None:
    for manifest in (value, {key: value}, {"outputs": {key: value}}, {"schema": value, "outputs": value}):
        assert attempt(tries.manifest, json.dumps(manifest).encode()) == "read"


@pytest.mark.parametrize("target", [tries.entry, tries.manifest, tries.config])
def test_nesting_beyond_every_stack_is_refused(target: Try) -> None:
    deep = b"[" * 100_000
    assert attempt(target, b"a = " + deep if target is tries.config else deep) in {"read", "refused"}


# Mutants of all of them, in a process of their own, which a crash of Arrow's code ends


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_mutants_are_read_or_refused(name: str) -> None:
    tried = try_seeds(fuzz.__name__, name, 0, 200)
    assert tried.wrong == {}
    assert tried.death is None
    assert sum(tried.outcomes.values()) == 200


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        pytest.param("parquet", 8651, id="a column's description in which PyArrow throws what nothing can catch"),
        pytest.param("parquet", 231047, id="a footer that claims no rows"),
        pytest.param("stream", 27065, id="a column of intervals of months"),
        pytest.param("stream", 280705, id="a union without members: PyArrow crashes making an array of it"),
    ],
)
def test_what_fuzzing_found_is_refused(name: str, seed: int) -> None:
    tried = try_seeds(fuzz.__name__, name, seed, 1)
    assert tried.death is None
    assert tried.outcomes == {"refused": 1}
