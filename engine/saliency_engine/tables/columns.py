"""The columns of a table that reading it looks at, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from saliency_engine.config import NUMBER_ROLES, RunConfig
from saliency_engine.errors import InputError
from saliency_engine.extras import EXTRA_ROLES
from saliency_engine.path_template import PathTemplate


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns say what. An empty name stands for no column; by default every row names a clip to compute."""

    path: str = "src"
    """Holds the clip's path. A table must have it, Parquet or Arrow as text."""
    template: PathTemplate | None = None
    """Makes the clip's path from other columns, in place of ``path``."""
    whole: bool = False
    """The paths are those of files as they are, of which nothing is made."""
    width: str = "width"
    height: str = "height"
    pix_fmt: str = "pix_fmt"
    mean: str = ""
    """A row with a finite number here and in ``var`` is left alone; where one of the two has no name, none is."""
    var: str = ""
    extras: tuple[str, ...] = ()
    """A row with these two, but without a finite number in each of these, is computed once more."""
    overwrite: bool = False
    """Leave no row alone."""
    written: Mapping[str, frozenset[type]] = field(default_factory=dict)
    """The columns that the run writes, each with the types of value that a JSON line may already have there."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """The same columns, each with what the run writes there: a key of ``RunConfig.output_columns``."""

    @property
    def of_paths(self) -> tuple[str, ...]:
        """The columns that the clip's path is made from."""
        return self.template.columns if self.template else (self.path,) if self.path else ()

    @property
    def of_clips(self) -> tuple[str, ...]:
        """The columns that say which clip a row names: those of its path, its width, height and pixel format."""
        return *self.of_paths, self.width, self.height, self.pix_fmt


def columns_of(config: RunConfig) -> Columns:
    """The columns that the options of ``config`` name."""
    number: frozenset[type] = frozenset({int, float, type(None)})
    text: frozenset[type] = frozenset({str, type(None)})
    roles = config.output_columns.items()
    return Columns(
        path=config.path_column,
        template=config.clip_template,
        width=config.width_column,
        height=config.height_column,
        pix_fmt=config.pix_fmt_column,
        mean=config.mean_column,
        var=config.var_column,
        extras=tuple(name for role, name in roles if role in EXTRA_ROLES),
        overwrite=config.overwrite,
        written={name: number if role in NUMBER_ROLES else text for role, name in roles if name},
        roles={name: role for role, name in roles if name},
    )


def option_of(role: str) -> str:
    """The option that names the output column of ``role``."""
    return "--prefix" if role in EXTRA_ROLES else f"--{role.replace('_', '-')}-column"


def column_index(schema: pa.Schema, name: str) -> int | None:
    """Where the column ``name`` is, ``None`` without one; raises ``InputError`` where several have the name."""
    indices: list[int] = schema.get_all_field_indices(name) if name else []
    if len(indices) > 1:
        raise InputError(f"the input has {len(indices)} columns named {name!r}: rename all but one of them")
    return indices[0] if indices else None
