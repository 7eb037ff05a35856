"""What may go wrong while a table is read, as errors that name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from saliency_engine.errors import InputError


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Turn whatever reading raises into an ``InputError`` that begins with the ``name`` of the table, or a part."""
    try:
        yield
    except InputError as error:
        where = f"{name}, " if str(error).startswith("line") else f"{name}: "
        raise InputError(where + str(error)) from error
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error
    except MemoryError:
        raise InputError(
            f"{name}: there is not enough memory to read it. The file may be damaged; if it is not, write it again in "
            "smaller batches or row groups"
        ) from None
    except pa.ArrowException as error:
        raise InputError(f"{name}: {error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: a column's name is not UTF-8: {error}") from error
