"""What a read-only user must not reach: writes, files, other hosts, other users' queries, its own limits."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.warehouse.conftest import READER, SECRET, EndpointProcess, refused

pytestmark = pytest.mark.integration


class Listener:
    """A TCP port that counts who calls."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.calls = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.calls += 1
            connection.close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.socket.close()


WRITES = [
    "INSERT INTO gold.sales VALUES (3)",
    "INSERT INTO gold.sales SELECT 3",
    "CREATE TABLE gold.mine (a Int8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE mine (a Int8)",
    "CREATE VIEW gold.mine AS SELECT 1",
    "CREATE DATABASE mine",
    "CREATE FUNCTION mine AS x -> x",
    "DROP TABLE gold.sales",
    "TRUNCATE TABLE gold.sales",
    "ALTER TABLE gold.sales DELETE WHERE 1",
    "DELETE FROM gold.sales WHERE 1",
    "OPTIMIZE TABLE gold.sales FINAL",
    "RENAME TABLE gold.sales TO gold.sold",
    "SYSTEM DROP MARK CACHE",
    "SYSTEM SHUTDOWN",
    "KILL QUERY WHERE 1",
    "BACKUP TABLE gold.sales TO File('x')",
    "GRANT ALL ON *.* TO default",
    "SET ROLE headwater_writer",
    "SET max_result_rows = 0",
    "EXPLAIN SYNTAX INSERT INTO FUNCTION file('x.csv') SELECT 1; DROP TABLE gold.sales",
    "SELECT 1; DROP TABLE gold.sales",
    "/* SELECT */ DROP TABLE gold.sales -- SELECT",
]

LIMITS = [
    "SET readonly = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS readonly = 2",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT * FROM numbers(2000000) SETTINGS max_result_rows = 0",
    "SELECT * FROM (SELECT 1 SETTINGS max_execution_time = 0)",
    "SELECT * FROM (SELECT query FROM system.processes SETTINGS additional_table_filters = {})",
    "SELECT * FROM (SELECT 1 SETTINGS max_threads = 1, readonly = 0)",
    "SELECT 1 WHERE 1 IN (SELECT 1 SETTINGS/**/max_execution_time/**/=/**/0)",
    "SELECT 1 UNION ALL (SELECT 2 SETTINGS allow_experimental_eval_table_function = 1)",
    "SELECT 1 FORMAT CSV SETTINGS additional_table_filters = {}",
    "SELECT 1 SETTINGS dialect = 'prql'",
    "SELECT 1 SETTINGS format_schema = '/etc/passwd'",
    "SELECT 1 SETTINGS allow_experimental_eval_table_function = 1",
]

FILES = [
    "SELECT * FROM file('{path}', 'LineAsString')",
    "SELECT * FROM File('{path}', 'LineAsString')",
    "SELECT 1 IN (SELECT * FROM file('{path}', 'LineAsString'))",
    "WITH x AS (SELECT * FROM file('{path}', 'LineAsString')) SELECT * FROM x",
    "DESCRIBE file('{path}', 'LineAsString')",
    "DESCRIBE TABLE file('{path}')",
    "EXPLAIN QUERY TREE SELECT * FROM file('{path}', 'LineAsString')",
    "SELECT * FROM '{path}'",
    "SELECT * FROM `{path}`",
    "SELECT * FROM _local.`{path}`",
    "SELECT file('{path}')",
    "SELECT `file`('{path}')",
    "SELECT \"file\"('{path}')",
    "SELECT “file”('{path}')",
    "SELECT `f\\x69le`('{path}')",
    "SELECT file/**/('{path}')",
    "SELECT file -- \n('{path}')",
    "SELECT * APPLY file FROM (SELECT '{path}' AS a)",
    "SELECT * APPLY (file) FROM (SELECT '{path}' AS a)",
    "SELECT * APPLY(x -> file(x)) FROM (SELECT '{path}' AS a)",
    "SELECT COLUMNS('a') APPLY(file) FROM (SELECT '{path}' AS a)",
    "SELECT arrayMap(x -> file(x), ['{path}'])",
    "SELECT * FROM view(SELECT file('{path}'))",
    "SELECT * FROM eval('SELECT file(''{path}'')')",
    "SELECT * FROM sqlite('{path}', 't')",
    "SELECT * FROM icebergLocal('{path}')",
    "SELECT * FROM deltaLakeLocal('{path}')",
    "SELECT * FROM filesystem('{path}')",
    "SELECT * FROM executable('cat {path}', 'TSV', 's String')",
    "SELECT * FROM fileCluster('default', '{path}', 'LineAsString')",
    "SELECT * FROM python('secret')",
    "SELECT * FROM Python(secret)",
    "SELECT 1 INTO OUTFILE '{path}'",
    "SELECT 1 INTO OUTFILE '{path}' TRUNCATE FORMAT CSV",
    "INSERT INTO gold.sales FROM INFILE '{path}' FORMAT CSV",
    "SELECT * FROM gold.sales UNION ALL SELECT length(file('{path}'))",
]

HOSTS = [
    "SELECT * FROM url('http://127.0.0.1:{port}/', 'LineAsString')",
    "DESCRIBE url('http://127.0.0.1:{port}/')",
    "SELECT * FROM s3('http://127.0.0.1:{port}/bucket/x', 'CSV')",
    "DESCRIBE s3('http://127.0.0.1:{port}/bucket/x')",
    "SELECT * FROM gcs('http://127.0.0.1:{port}/bucket/x', 'CSV')",
    "SELECT * FROM iceberg('http://127.0.0.1:{port}/bucket/x')",
    "SELECT * FROM deltaLake('http://127.0.0.1:{port}/bucket/x')",
    "SELECT * FROM remote('127.0.0.1:{port}', 'system.one')",
    "SELECT * FROM remoteSecure('127.0.0.1:{port}', 'system.one')",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM urlCluster('default', 'http://127.0.0.1:{port}/', 'LineAsString')",
    "SELECT * FROM s3Cluster('default', 'http://127.0.0.1:{port}/b/x', 'CSV')",
    "SELECT * FROM mysql('127.0.0.1:{port}', 'a', 'b', 'c', 'd')",
    "SELECT * FROM postgresql('127.0.0.1:{port}', 'a', 'b', 'c', 'd')",
    "SELECT * FROM mongodb('127.0.0.1:{port}', 'a', 'b', 'c', 'd', 'e String')",
    "SELECT * FROM redis('127.0.0.1:{port}', 'k', 'k String')",
    "SELECT * FROM azureBlobStorage('http://127.0.0.1:{port}/', 'c', 'p', 'n', 'k')",
    "SELECT * FROM hdfs('hdfs://127.0.0.1:{port}/x', 'CSV')",
    "SELECT * FROM odbc('DSN=x', 'a', 'b')",
    "SELECT * FROM bigquery('http://127.0.0.1:{port}', 'a', 'b')",
    "SELECT * FROM gold.sales WHERE a IN (SELECT * FROM url('http://127.0.0.1:{port}/', 'CSV', 'a Int32'))",
]

HIDDEN = [
    "SELECT * FROM hidden.wages",
    "SELECT * FROM merge('hidden', '.*')",
    "SELECT * FROM merge(REGEXP('.*'), 'wages')",
    "SELECT * FROM loop('hidden', 'wages') LIMIT 1",
    "SELECT 'x' IN hidden.wages",
    "DESCRIBE hidden.wages",
    "SHOW CREATE TABLE hidden.wages",
    "EXPLAIN SELECT * FROM hidden.wages",
    "SELECT * FROM system.users",
    "SELECT * FROM system.grants",
    "SELECT * FROM dictionary('hidden.d')",
    "SELECT joinGet('hidden.j', 's', 1)",
    "SELECT hasColumnInTable('hidden', 'wages', 's') AND throwIf(1)",
]


@pytest.mark.parametrize("sql", WRITES + LIMITS + HIDDEN)
def test_refused(endpoint: EndpointProcess, tables: None, sql: str) -> None:
    answer = endpoint.ask(sql, READER)
    assert refused(answer), answer.text
    assert endpoint.ask("SELECT count() FROM gold.sales").text == "2\n"


@pytest.mark.parametrize("sql", FILES)
def test_no_file_is_read_or_written(endpoint: EndpointProcess, tables: None, secret_file: Path, sql: str) -> None:
    answer = endpoint.ask(sql.replace("{path}", str(secret_file)), READER)
    assert refused(answer), answer.text
    assert secret_file.read_text() == SECRET + "\n"


@pytest.mark.parametrize("sql", HOSTS)
def test_no_host_is_called(endpoint: EndpointProcess, tables: None, listener: Listener, sql: str) -> None:
    answer = endpoint.ask(sql.replace("{port}", str(listener.port)), READER)
    assert refused(answer), answer.text
    assert listener.calls == 0


@pytest.mark.parametrize("sql", FILES)
def test_not_even_the_writer_reads_files(endpoint: EndpointProcess, tables: None, secret_file: Path, sql: str) -> None:
    assert refused(endpoint.ask(sql.replace("{path}", str(secret_file))))


@pytest.mark.parametrize(
    "params",
    [
        {"readonly": "0"},
        {"readonly": "2"},
        {"max_execution_time": "0"},
        {"max_execution_time": "21"},
        {"max_result_rows": "1000001"},
        {"max_result_rows": "-1"},
        {"result_overflow_mode": "x', readonly = '0"},
        {"additional_table_filters": "{}"},
        {"allow_ddl": "1"},
        {"dialect": "prql"},
        {"format_schema": "/etc/passwd"},
        {"role": "headwater_writer"},
        {"session_id": "attack", "readonly": "0"},
        {"log_comment": "x', readonly = '0"},
    ],
)
def test_settings_in_the_url_do_not_loosen_anything(
    endpoint: EndpointProcess, tables: None, params: dict[str, str]
) -> None:
    answer = endpoint.ask("SELECT getSetting('readonly'), count() FROM numbers(1)", READER, **params)
    assert refused(answer) or answer.text == "1\t1\n"
    assert refused(endpoint.ask("INSERT INTO gold.sales VALUES (3)", READER, **params))
    assert refused(endpoint.ask("SELECT * FROM numbers(2000000) FORMAT Null", READER, **params))


def test_harmless_settings_that_drivers_send_are_taken(endpoint: EndpointProcess) -> None:
    sql = "SELECT getSetting('max_threads'), getSetting('session_timezone')"
    answer = endpoint.ask(
        sql, READER, max_threads="1", session_timezone="Europe/Berlin", output_format_json_quote_64bit_integers="0"
    )
    assert answer.text == "1\tEurope/Berlin\n"
    inline = endpoint.ask(f"{sql} SETTINGS max_threads = 1, session_timezone = 'Asia/Tokyo' FORMAT CSV", READER)
    assert inline.text == '1,"Asia/Tokyo"\n'


def test_rows_bytes_and_time_are_bounded(endpoint: EndpointProcess) -> None:
    rows = endpoint.ask("SELECT number FROM numbers(1000001) FORMAT JSON", READER)
    assert rows.headers["x-clickhouse-exception-code"] == "396"
    time = endpoint.ask(
        "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))", READER, max_execution_time="1"
    )
    assert (time.status_code, time.headers["x-clickhouse-exception-code"]) == (408, "159")
    size = endpoint.ask("SELECT repeat('x', 1000000) FROM numbers(900) FORMAT JSON", READER)
    assert size.headers["x-clickhouse-exception-code"] in ("396", "241")
    memory = endpoint.ask("SELECT groupArray(number) FROM numbers(1000000000)", READER)
    assert memory.headers["x-clickhouse-exception-code"] == "241"


def test_other_users_queries_are_not_seen(endpoint: EndpointProcess) -> None:
    assert endpoint.ask("SELECT query FROM system.processes", READER).text == ""
    assert endpoint.ask("SHOW PROCESSLIST", READER).text == ""


def test_bi_tools_see_what_they_may_read_and_nothing_else(endpoint: EndpointProcess, tables: None) -> None:
    assert "sales" in endpoint.ask("SHOW TABLES FROM gold", READER).text
    assert (
        endpoint.ask("SELECT name FROM system.columns WHERE database = 'gold' AND table = 'sales'", READER).text
        == "a\n"
    )
    for sql in (
        "SELECT name FROM system.tables WHERE database = 'hidden'",
        "SELECT name FROM system.columns WHERE database = 'hidden'",
        "SELECT table FROM system.parts WHERE database = 'hidden'",
        "SHOW TABLES FROM hidden",
    ):
        assert "wages" not in endpoint.ask(sql, READER).text
