"""Every error this library raises on purpose.

::

    SaliencyError                 base; the CLI prints "Type: message" and exits 2
    ├── ConfigError               an option is unknown, of the wrong type, or out of range
    ├── InputError                the input table cannot be read (where: file, line or column)
    ├── OutputError               the output cannot be written, or another run is writing it
    ├── MemoError                 the memo file is not one of ours, of another version, or unusable
    ├── ModelError                the model cannot be loaded or is not a saliency model
    │   ├── ProviderError         the execution provider asked for cannot run here
    │   ├── SignatureError        a signature cannot be checked, does not hold, or is somebody else's
    │   └── FetchError            a release's file cannot be brought
    ├── WorkerError               the decoding processes cannot start at all
    └── ClipError                 one clip failed: becomes that row's status and reason, never an exit
        ├── MissingSourceError    missing-source
        ├── MissingGeometryError  missing-geometry
        ├── DecodeError           decode-failed
        └── InferenceError        model-failed

``ClipError`` and its children cross process boundaries, so each takes exactly one argument: the reason.
"""


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
    """A signature cannot be checked, does not hold, or is not by whom it must be."""


class FetchError(ModelError):
    """A file of a release cannot be brought; the message says whether to try again."""


class WorkerError(SaliencyError):
    """The decoding processes cannot start at all."""


class ClipError(SaliencyError):
    """One clip failed; its rows carry the status and the reason."""


class MissingSourceError(ClipError):
    """The path is empty or names no regular file."""


class MissingGeometryError(ClipError):
    """Raw video whose size neither the row nor the defaults give."""


class DecodeError(ClipError):
    """The decoder gave no usable frame."""


class InferenceError(ClipError):
    """Inference or aggregation failed, or gave something that is no saliency map."""
