"""What pandas and Spark keep in a schema's metadata about its columns, brought up to date for the columns of a run.

Both rebuild their tables by it. Left as it was, pandas cannot load a table whose column names are not plain text, and
Spark does not see the new columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa

from saliency_engine.tables.columns import column_index

_PANDAS, _SPARK = b"pandas", b"org.apache.spark.sql.parquet.row.metadata"


def place_columns(schema: pa.Schema, kinds: Mapping[str, pa.DataType]) -> pa.Schema:
    """``schema`` with a nullable column of each of ``kinds``: where it is if it is there already, else at the end.

    Raises ``InputError`` where several columns have the name of one.
    """
    added, changed = dict[str, pa.DataType](), dict[str, pa.DataType]()
    for name, kind in kinds.items():
        place = column_index(schema, name)
        old = pa.field(name, kind) if place is None else schema.field(place)
        new = old.with_type(kind).with_nullable(True)  # a failed row has nulls
        schema = schema.append(new) if place is None else schema.set(place, new)
        if place is None or kind != old.type:
            (added if place is None else changed)[name] = kind
    return schema.with_metadata(describe_columns(schema, added, changed))


def describe_columns(schema: pa.Schema, added: Mapping[str, pa.DataType], changed: Mapping[str, pa.DataType]) -> Any:
    """The metadata of ``schema`` for a table that has the ``added`` columns too, and others of ``changed`` types.

    Bytes that need no change stay as they are, and so does what is not in the form that pandas and Spark write.
    """
    metadata = dict(schema.metadata or {})
    for key, update in ((_PANDAS, _update_pandas), (_SPARK, _update_spark)):
        try:
            document = orjson.loads(metadata[key])
            if update(document, added, changed):
                metadata[key] = orjson.dumps(document)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return metadata or None


def _update_pandas(document: Any, added: Mapping[str, pa.DataType], changed: Mapping[str, pa.DataType]) -> bool:
    """Change pandas' metadata where it would not load the table; returns whether anything was changed."""
    levels, columns, is_changed = document["column_indexes"], document["columns"], False
    for column in columns:
        if column["field_name"] in changed:
            column.update(_pandas_type(changed[column["field_name"]]))
            is_changed = True
    for level in levels if added else ():
        if not str(level["numpy_type"]).startswith(("object", "str")):
            # Names such as 0 or 2024-01-01: ours are no numbers and no dates, so all of them become text.
            level.update(pandas_type="unicode", numpy_type="object", metadata={"encoding": "UTF-8"})
            is_changed = True
    if len(levels) > 1:
        for name, kind in added.items():  # a tuple, with an empty text for every further level
            path = str((name, *[""] * (len(levels) - 1)))
            columns.append({"name": path, "field_name": name, **_pandas_type(kind)})
            is_changed = True
    return is_changed


def _pandas_type(kind: pa.DataType) -> dict[str, Any]:
    name = "float64" if pa.types.is_floating(kind) else "int64" if pa.types.is_integer(kind) else ""
    names = (name, name) if name else ("unicode", "object")
    return dict(zip(("pandas_type", "numpy_type", "metadata"), (*names, None), strict=True))


def _update_spark(document: Any, added: Mapping[str, pa.DataType], changed: Mapping[str, pa.DataType]) -> bool:
    """Add the columns to Spark's schema; returns whether anything was changed."""
    fields = document["fields"]
    for field in fields:
        if field["name"] in changed:
            field["type"] = _spark_type(changed[field["name"]])
    fields += [
        {"name": name, "type": _spark_type(kind), "nullable": True, "metadata": {}} for name, kind in added.items()
    ]
    return bool(added or changed)


def _spark_type(kind: pa.DataType) -> str:
    return "double" if pa.types.is_floating(kind) else "long" if pa.types.is_integer(kind) else "string"
