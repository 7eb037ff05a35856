"""What pandas and Spark say of a table's columns in its metadata stays true of the output."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from saliency_engine.config import RunConfig
from saliency_engine.tables.join import OutputColumns

SPARK = b"org.apache.spark.sql.parquet.row.metadata"


def level(pandas_type: str, numpy_type: str) -> dict[str, Any]:
    return {"name": None, "field_name": None, "pandas_type": pandas_type, "numpy_type": numpy_type, "metadata": None}


TEXT, NUMBER, DATE = level("unicode", "object"), level("int64", "int64"), level("datetimetz", "datetime64[ns]")


def joined(fields: dict[str, pa.DataType], metadata: dict[bytes, Any]) -> Any:
    """The metadata of a run's output, decoded."""
    schema = pa.schema(list(fields.items()), {key: json.dumps(value) for key, value in metadata.items()})
    output = OutputColumns(RunConfig(model="frequency_tuned_v1"), schema).schema
    assert isinstance(output, pa.Schema)
    return {key: json.loads(value) for key, value in output.metadata.items()}


def pandas(levels: list[dict[str, Any]], *columns: str, **of_columns: str) -> dict[str, Any]:
    entries = [TEXT | {"name": name, "field_name": name} | of_columns for name in columns]
    return {"index_columns": [], "column_indexes": levels, "columns": entries, "pandas_version": "2.0.0"}


def test_columns_of_text_leave_pandas_metadata_as_it_is() -> None:
    document = pandas([TEXT], "src")
    assert joined({"src": pa.string()}, {b"pandas": document}) == {b"pandas": document}


@pytest.mark.parametrize("inner", [TEXT, NUMBER, DATE], ids=["text", "numbers", "dates"])
def test_every_new_column_is_a_tuple_under_a_multiindex(inner: dict[str, Any]) -> None:
    after = joined({"('src', '')": pa.string()}, {b"pandas": pandas([TEXT, inner, TEXT], "('src', '')")})[b"pandas"]
    names = {column["field_name"]: column["name"] for column in after["columns"]}
    assert names["saliency_mean"] == "('saliency_mean', '', '')"
    assert len(names) == 1 + 8
    assert {entry["numpy_type"] for entry in after["column_indexes"]} == {"object"}  # '' is no number and no date


@pytest.mark.parametrize("only", [NUMBER, DATE, level("categorical", "int8"), level("bool", "bool")])
def test_names_that_are_no_text_become_text(only: dict[str, Any]) -> None:
    (after,) = joined({"src": pa.string()}, {b"pandas": pandas([only], "src")})[b"pandas"]["column_indexes"]
    assert (after["pandas_type"], after["numpy_type"]) == ("unicode", "object")


def test_a_column_that_changes_its_type_is_described_anew() -> None:
    fields = {"src": pa.string(), "saliency_mean": pa.int64(), "saliency_error": pa.null()}
    document = pandas([TEXT], *fields, numpy_type="Int64")
    columns = joined(fields, {b"pandas": document})[b"pandas"]["columns"]
    assert [column["numpy_type"] for column in columns] == ["Int64", "float64", "object"]


def test_spark_is_told_of_the_new_columns() -> None:
    known: list[dict[str, Any]] = [
        {"name": name, "type": "long", "nullable": True, "metadata": {}} for name in ("src", "saliency_var")
    ]
    fields = {"src": pa.string(), "saliency_var": pa.int64()}
    after = joined(fields, {SPARK: {"type": "struct", "fields": known}})[SPARK]["fields"]
    assert {field["name"]: field["type"] for field in after} == {
        "src": "long",
        "saliency_var": "double",
        "saliency_mean": "double",
        "saliency_ema_alpha": "double",
        **dict.fromkeys(
            (f"saliency_{name}" for name in ("status", "model_id", "aggregator", "sampling", "error")), "string"
        ),
    }


@pytest.mark.parametrize("document", [{}, [], None, {"columns": 1}, {"column_indexes": [], "columns": [{}]}])
def test_metadata_of_another_form_stays(document: Any) -> None:
    metadata = {b"pandas": document, SPARK: document}
    assert joined({"src": pa.string()}, metadata) == metadata


def test_pandas_loads_the_output() -> None:
    pandas: Any = pytest.importorskip("pandas")
    for columns in (
        pandas.MultiIndex.from_tuples([("src", 0), ("x", 1)]),
        [0, 1],
        pandas.to_datetime(["2020", "2021"]),
    ):
        table = pa.Table.from_pandas(pandas.DataFrame([["a", 1]], columns=columns))
        schema: Any = OutputColumns(RunConfig(model="frequency_tuned_v1"), table.schema).schema
        frame = schema.empty_table().to_pandas()
        assert len(frame.columns) == 2 + 8
