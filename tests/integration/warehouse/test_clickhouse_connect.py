"""clickhouse-connect, unmodified: every call the platform and BI tools make."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError
from clickhouse_connect.driver.external import ExternalData
from tests.integration.warehouse.conftest import READER, WRITER, EndpointProcess

pytestmark = pytest.mark.integration

COLUMNS = ["id", "name", "at", "amount"]
ROWS = [
    (1, "first", dt.datetime(2017, 1, 1, 10, 0, 0, 123000), Decimal("1.25")),
    (2, None, dt.datetime(2017, 1, 2), Decimal("-2.50")),
    (3, "é🛒", dt.datetime(2017, 1, 3), Decimal("1000000.01")),
]


@pytest.fixture
def writer(endpoint: EndpointProcess) -> Iterator[Client]:
    with endpoint.client() as client:
        yield client


@pytest.fixture
def reader(endpoint: EndpointProcess) -> Iterator[Client]:
    with endpoint.client(READER) as client:
        yield client


@pytest.fixture
def table(writer: Client) -> str:
    name = f"gold.t_{uuid.uuid4().hex[:8]}"
    writer.command(
        f"CREATE TABLE {name} (id Int64, name LowCardinality(Nullable(String)), at DateTime64(3), "
        "amount Decimal(12, 2)) ENGINE = MergeTree ORDER BY id"
    )
    return name


@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip", False])
def test_inserted_rows_are_read_back(endpoint: EndpointProcess, table: str, compression: str | bool) -> None:
    with endpoint.client(compress=compression) as client:
        assert client.insert(table, ROWS, column_names=COLUMNS).written_rows == 3
    with endpoint.client(READER, compress=compression) as client:
        assert client.query(f"SELECT * FROM {table} ORDER BY id").result_rows == ROWS


def test_arrow_tables_go_both_ways(writer: Client, reader: Client, table: str) -> None:
    arrow = pa.table(
        {
            "id": pa.array(range(50_000), pa.int64()),
            "name": pa.array(["x"] * 50_000),
            "at": pa.array([dt.datetime(2017, 1, 1)] * 50_000, pa.timestamp("ms")),
            "amount": pa.array([Decimal("0.10")] * 50_000, pa.decimal128(12, 2)),
        }
    )
    assert writer.insert_arrow(table, arrow).written_rows == 50_000
    answer = reader.query_arrow(f"SELECT sum(id) AS ids, sum(amount) AS amounts FROM {table}")
    assert answer.to_pydict() == {"ids": [sum(range(50_000))], "amounts": [Decimal("5000.00")]}
    with reader.query_arrow_stream(f"SELECT id FROM {table}") as batches:
        assert sorted(value for batch in batches for value in batch["id"].to_pylist()) == list(range(50_000))


def test_data_frames_go_both_ways(writer: Client, reader: Client, table: str) -> None:
    frame = pd.DataFrame(ROWS, columns=COLUMNS)
    assert writer.insert_df(table, frame).written_rows == 3
    answer = reader.query_df(f"SELECT id, amount FROM {table} ORDER BY id")
    assert answer["id"].tolist() == [1, 2, 3]
    assert answer["amount"].tolist() == [row[3] for row in ROWS]


def test_rows_are_streamed_in_blocks(reader: Client) -> None:
    with reader.query_row_block_stream("SELECT number FROM numbers(500000)") as blocks:
        sizes = [len(block) for block in blocks]
    assert sum(sizes) == 500_000
    assert len(sizes) > 1


def test_a_streamed_answer_that_is_left_does_not_block_the_next(reader: Client) -> None:
    with reader.query_row_block_stream("SELECT number FROM numbers(900000)") as blocks:
        assert next(iter(blocks))
    assert reader.query("SELECT 1").result_rows == [(1,)]


@pytest.mark.parametrize(
    ("placeholder", "value"),
    [
        ("{v:Int64}", -5),
        ("{v:String}", "it's\ta \\ 'test'\n🛒"),
        ("{v:Array(String)}", ["a", "b'c"]),
        ("{v:DateTime}", dt.datetime(2017, 1, 1, 1, 2, 3)),
        ("{v:Date}", dt.date(2017, 1, 1)),
        ("{v:Decimal(10, 2)}", Decimal("1.25")),
        ("{v:Nullable(String)}", None),
    ],
)
def test_server_side_parameters(reader: Client, placeholder: str, value: object) -> None:
    assert reader.query(f"SELECT {placeholder} AS v", parameters={"v": value}).result_rows == [(value,)]


def test_client_side_parameters(reader: Client) -> None:
    assert reader.query("SELECT %(v)s", parameters={"v": "it's"}).result_rows == [("it's",)]


def test_identifier_parameters(writer: Client, table: str) -> None:
    writer.insert(table, ROWS, column_names=COLUMNS)
    name = table.split(".")[1]
    answer = writer.query("SELECT count() FROM {d:Identifier}.{t:Identifier}", parameters={"d": "gold", "t": name})
    assert answer.result_rows == [(3,)]


def test_settings_hold_for_one_query_even_in_a_session(endpoint: EndpointProcess) -> None:
    with endpoint.client(session_id=str(uuid.uuid4())) as client:
        ask = "SELECT getSetting('max_threads')"
        client.command("SET max_threads = 3")
        assert client.query(ask, settings={"max_threads": 1}).result_rows == [(1,)]
        assert client.query(ask).result_rows == [(3,)]


def test_readers_learn_from_system_settings_that_they_may_set_nothing(reader: Client) -> None:
    with pytest.raises(ProgrammingError, match="max_threads is readonly"):
        reader.query("SELECT 1", settings={"max_threads": 1})


def test_session_keeps_a_temporary_table(endpoint: EndpointProcess) -> None:
    with endpoint.client(session_id=str(uuid.uuid4())) as client:
        client.command("CREATE TEMPORARY TABLE notes (a Int8)")
        client.insert("notes", [[5]], column_names=["a"])
        assert client.query("SELECT a FROM notes").result_rows == [(5,)]
    with endpoint.client(session_id=str(uuid.uuid4())) as other, pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        other.query("SELECT a FROM notes")


@pytest.mark.parametrize("user", [WRITER, READER])
def test_external_data(endpoint: EndpointProcess, user: tuple[str, str]) -> None:
    external = ExternalData(file_name="ext", data=b"1,x\n2,y\n", fmt="CSV", structure="a Int64, b String")
    with endpoint.client(user) as client:
        answer = client.query("SELECT sum(a), max(b) FROM ext", external_data=external)
    assert answer.result_rows == [(3, "y")]


@pytest.mark.parametrize(
    ("sql", "code", "name"),
    [
        ("SELECT * FROM gold.nope", 60, "UNKNOWN_TABLE"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT nope", 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT 1 SETTINGS nope = 1", 115, "UNKNOWN_SETTING"),
        ("SELECT throwIf(number = 400000) FROM numbers(500000)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    ],
)
def test_errors_are_clickhouses_own(writer: Client, sql: str, code: int, name: str) -> None:
    with pytest.raises((DatabaseError, OperationalError)) as caught:
        assert writer.query(sql).result_rows
    assert f"Code: {code}." in str(caught.value)
    assert name in str(caught.value)


def test_a_wrong_password_is_refused(endpoint: EndpointProcess) -> None:
    with pytest.raises(DatabaseError, match="516"):
        endpoint.client(("headwater", "wrong"))


def test_inserted_twice_with_one_token_lands_once(writer: Client) -> None:
    name = f"live.t_{uuid.uuid4().hex[:8]}"
    writer.command(
        f"CREATE TABLE {name} (id Int64) ENGINE = MergeTree ORDER BY id "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    for _ in range(2):
        writer.insert(name, [[1], [2]], column_names=["id"], settings={"insert_deduplication_token": "batch-1"})
    assert writer.query(f"SELECT count() FROM {name}").result_rows == [(2,)]


def test_raw_query_and_raw_insert(writer: Client, table: str) -> None:
    assert writer.raw_insert(table, ["id", "name"], b"11,a\n12,b\n", fmt="CSV").written_rows == 2
    assert writer.raw_query(f"SELECT id FROM {table} ORDER BY id", fmt="CSV") == b"11\n12\n"


def test_sqlalchemy_inspects_and_asks_as_superset_does(endpoint: EndpointProcess, writer: Client, table: str) -> None:
    writer.insert(table, ROWS, column_names=COLUMNS)
    name = table.split(".")[1]
    engine = sa.create_engine(f"clickhousedb://{READER[0]}:{READER[1]}@127.0.0.1:{endpoint.port}/gold")
    with engine.connect() as connection:
        inspector = sa.inspect(engine)
        assert "gold" in inspector.get_schema_names()
        assert name in inspector.get_table_names(schema="gold")
        assert [column["name"] for column in inspector.get_columns(name, schema="gold")] == COLUMNS
        reflected = sa.Table(name, sa.MetaData(schema="gold"), autoload_with=engine)
        statement = sa.select(reflected.c.id).where(reflected.c.amount > 0).order_by(reflected.c.id).limit(10)
        assert connection.execute(statement).fetchall() == [(1,), (3,)]
    engine.dispose()
