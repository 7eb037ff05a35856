"""Every error this library raises on purpose.

::

    SaliencyError                 base; the CLI prints "Type: message" and exits 2
    ├── ConfigError               an option is unknown, of the wrong type, or out of range
    ├── InputError                the input table cannot be read (where: file, line or column)
    ├── OutputError               the output cannot be written, or another run is writing it
    ├── MemoError                 the memo file is not a memo, is of another version, or cannot be used
    ├── ModelError                the model cannot be loaded or is not a saliency model
    │   ├── ProviderError         the execution provider asked for cannot run here
    │   ├── SignatureError        a signature cannot be checked, is not valid, or is by another signer
    │   └── FetchError            a file of a release cannot be downloaded
    ├── WorkerError               the decoding processes cannot start at all
    └── ClipError                 one clip failed: its rows get a status and a reason, and the run goes on
        ├── MissingSourceError    missing-source
        ├── MissingGeometryError  missing-geometry
        ├── DecodeError           decode-failed
        └── InferenceError        model-failed

``ClipError`` and its children cross process boundaries, so each takes exactly one argument: the reason.

``BugError`` stands outside the tree: nobody raises it on purpose, and the CLI exits 70.
"""

from typing import ClassVar


class SaliencyError(Exception):
    """Base of every error raised on purpose."""


class ConfigError(SaliencyError):
    """An option is unknown, of the wrong type, or out of range."""


class InputError(SaliencyError):
    """The input table cannot be read; the message says where."""


class OutputError(SaliencyError):
    """The output cannot be written, or another run is writing it."""


class MemoError(SaliencyError):
    """The memo file is not a memo, is of another version, or cannot be used."""


class ModelError(SaliencyError):
    """The model cannot be loaded, or is not a saliency model."""


class ProviderError(ModelError):
    """The execution provider that was asked for cannot run here."""


class SignatureError(ModelError):
    """A signature cannot be checked, is not valid, or is by another signer."""


class FetchError(ModelError):
    """A file of a release cannot be downloaded; the message says whether to try again."""


class WorkerError(SaliencyError):
    """The decoding processes cannot start at all."""


class ClipError(SaliencyError):
    """One clip failed; its rows get a status and the reason, and the run goes on."""

    status: ClassVar[str]
    """The value of ``types.Status`` that the clip's rows get."""


class MissingSourceError(ClipError):
    """The path is empty or names no regular file."""

    status = "missing-source"


class MissingGeometryError(ClipError):
    """Neither the row nor the defaults give the size of a raw video."""

    status = "missing-geometry"


class DecodeError(ClipError):
    """The clip cannot be opened or decoded, or its frames cannot be used."""

    status = "decode-failed"


class InferenceError(ClipError):
    """The model failed, or what it gave is not a saliency map."""

    status = "model-failed"


class BugError(Exception):
    """A decoding process met an error that no clip causes: a mistake of ours, or a library that has changed.

    Its note is the traceback in that process. The run ends, for every other clip would meet the same.
    """
