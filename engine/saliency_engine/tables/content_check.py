"""Tables that are something else than their names say: one error before anything, with what they are."""

from __future__ import annotations

import codecs
from typing import BinaryIO, cast

from saliency_engine.errors import InputError
from saliency_engine.storage.contents import HEAD_BYTES, Content, identify
from saliency_engine.tables.formats import Format, RawTable

_EXPECTED = {
    "jsonl": ("JSON lines", {Content.JSON, Content.JSON_ARRAY, Content.TEXT}),  # lines that are no rows are rejected
    "csv": ("CSV", {Content.TEXT}),
    "parquet": ("a Parquet file", {Content.PARQUET}),
    "arrow": ("an Arrow file", {Content.ARROW, Content.STREAM}),
    "gzip": ("gzip data", {Content.GZIP}),
    "zstd": ("zstd data", {Content.ZSTD}),
}
_JQ = "jq -c '.[]' OLD > NEW.jsonl"
_AS_CSV = "save it as CSV in UTF-8"
_CURES = {
    Content.WEB_PAGE: "the download has probably failed; fetch the table again",
    Content.LFS_POINTER: "run git lfs pull",
    Content.JSON: "name it .jsonl",
    Content.JSON_ARRAY: f"make JSON lines of it with {_JQ}",
    Content.TEXT: "name it by what it is, such as .csv",
    Content.EXCEL: _AS_CSV,
    Content.OLD_OFFICE: _AS_CSV,
    Content.SPREADSHEET: _AS_CSV,
    Content.ZIP: "unpack it first",
    Content.PARQUET: "name it .parquet",
    Content.ARROW: "name it .arrow",
    Content.STREAM: "name it .arrow",
    Content.SQLITE: "if it is this program's memo, look into it with saliency-batch memo show; of another database, "
    "export the table as CSV",
}


def check_content(format: Format, stream: BinaryIO) -> None:
    """Raise ``InputError`` where the first bytes of ``stream`` are those of something else than ``format``.

    It stays where it is. What is not known passes: reading it says what is wrong.
    """
    if format.kind not in _EXPECTED:
        return
    wanted, expected = _EXPECTED[format.kind if format.kind == "parquet" else format.codec or format.kind]
    content = identify(_peek(stream))
    if content is None or content in expected:
        return
    cure = _CURES.get(content, "check the path")
    if content in {Content.GZIP, Content.ZSTD}:
        packed = ".gz" if content is Content.GZIP else ".zst"
        suffix = ".tsv" if format.delimiter == "\t" else f".{format.kind}"
        cure = f"name it {suffix}{packed}" if format.kind in {"jsonl", "csv"} else "unpack it first"
    raise InputError(f"it is {content}, not {wanted}: {cure}")


def check_array(raw: RawTable, stream: BinaryIO) -> None:
    """Raise ``InputError`` where the lines of ``stream``, which are those of ``raw``, are one JSON array together."""
    if raw.path == "-" and raw.reject:  # so few bytes are known of a pipe that this may be one odd line
        return
    head = _peek(stream)
    first, _, rest = head.removeprefix(codecs.BOM_UTF8).lstrip().partition(b"\n")
    goes_on = first.rstrip().endswith((b"[", b"{", b",")) or not rest.strip()
    if goes_on and identify(head) is Content.JSON_ARRAY:
        raise InputError(f"it is one JSON array, where JSON lines have one object a line: make them with {_JQ}")


def _peek(stream: BinaryIO) -> bytes:
    return cast(bytes, stream.peek(HEAD_BYTES)[:HEAD_BYTES])  # type: ignore[attr-defined]  # they are BufferedReaders
