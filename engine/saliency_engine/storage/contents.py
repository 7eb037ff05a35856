"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import codecs
import re
from enum import StrEnum

HEAD_BYTES = 4096
"""So many first bytes are enough to tell."""


class Content(StrEnum):
    """What a file is, in words for people."""

    WEB_PAGE = "a web page"
    LFS_POINTER = "a Git LFS pointer"
    JSON = "JSON"
    JSON_ARRAY = "a JSON array"
    TEXT = "text"
    """Of no kind that has a name here."""
    EXCEL = "an Excel workbook"
    OLD_OFFICE = "an old Excel workbook or another old Office document"
    SPREADSHEET = "an OpenDocument spreadsheet"
    ZIP = "a ZIP archive"
    GZIP = "gzip data"
    ZSTD = "zstd data"
    PARQUET = "a Parquet file"
    ARROW = "an Arrow file"
    STREAM = "an Arrow stream"
    SQLITE = "an SQLite database"
    ONNX = "an ONNX model"
    VIDEO = "a video"
    PNG = "a PNG picture"
    JPEG = "a JPEG picture"
    PDF = "a PDF document"


_MARKS = {
    # 16 bytes are enough for all of these, and four for ZIP's, gzip's and zstd's.
    rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis\.opendocument\.spreadsheet": Content.SPREADSHEET,
    rb"PK\x03\x04.*(?:\[Content_Types\]\.xml|xl/|_rels/)": Content.EXCEL,
    rb"PK\x03\x04|PK\x05\x06": Content.ZIP,
    rb"\xd0\xcf\x11\xe0": Content.OLD_OFFICE,
    rb"\x1f\x8b": Content.GZIP,
    rb"\x28\xb5\x2f\xfd": Content.ZSTD,
    rb"PAR[1E][\x00-\x1f]": Content.PARQUET,  # a column may be called PAR1
    rb"ARROW1\x00": Content.ARROW,
    rb"\xff\xff\xff\xff": Content.STREAM,
    rb"SQLite format 3\x00": Content.SQLITE,
    rb"\x00...(?:ftyp|moov|mdat|wide|free|skip)": Content.VIDEO,  # MP4, MOV
    rb"\x1a\x45\xdf\xa3|RIFF....AVI |FLV\x01|OggS\x00|DKIF\x00|YUV4MPEG2 |\x30\x26\xb2\x75|GIF8[79]a": Content.VIDEO,
    rb"\x00\x00\x01[\xb3\xba]|\x00\x00(?:\x00)?\x01[\x01-\x7f]|\x06\x0e\x2b\x34": Content.VIDEO,
    rb"\x47(?=.{0,190}[\x00-\x08]).{187}\x47.{187}\x47": Content.VIDEO,  # MPEG-TS
    rb"\x89PNG\r\n": Content.PNG,
    rb"\xff\xd8\xff": Content.JPEG,
    rb"%PDF-": Content.PDF,
    rb"\x08[\x00-\x1f]": Content.ONNX,  # its first field is the version of its format
}
_OF_TEXT = {
    rb"(?i)<!doct|<html|<head": Content.WEB_PAGE,
    rb"version https://git-lfs": Content.LFS_POINTER,
    rb'\{\s*["}]': Content.JSON,
    rb'\[\s*[\[\]{"]': Content.JSON_ARRAY,
}
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def identify(head: bytes) -> Content | None:
    """What a file is that begins with ``head``; ``None`` where that is not known, as of an empty one."""
    for marks, text in ((_MARKS, head), (_OF_TEXT, head.removeprefix(codecs.BOM_UTF8).lstrip())):
        for mark, content in marks.items():
            if re.match(mark, text, re.DOTALL):
                return content
    return Content.TEXT if head.strip() and not _BINARY.search(head) else None
