"""ClickHouse's HTTP interface as curl and drivers use it: forms of a query, encodings, headers, errors, sessions."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import time
import uuid

import httpx
import lz4.frame
import pytest
import zstandard
from tests.integration.warehouse.conftest import READER, WRITER, EndpointProcess, await_true

from headwater.warehouse.embedded.compression import BlockDecoder, BlockEncoder

pytestmark = pytest.mark.integration


@pytest.fixture
def table(endpoint: EndpointProcess) -> str:
    name = f"gold.h_{uuid.uuid4().hex[:8]}"
    assert endpoint.ask(f"CREATE TABLE {name} (a Int32, b String) ENGINE = MergeTree ORDER BY a").status_code == 200
    return name


def curl(*arguments: str, stdin: bytes = b"") -> bytes:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    return subprocess.run(["curl", "-sS", *arguments], input=stdin, capture_output=True, check=True).stdout


def test_health_checks_need_no_password(endpoint: EndpointProcess) -> None:
    assert httpx.get(endpoint.url + "ping").text == "Ok.\n"
    assert httpx.get(endpoint.url + "replicas_status").text == "Ok.\n"
    assert httpx.get(endpoint.url).text == "Ok.\n"
    assert httpx.get(endpoint.url + "nope").status_code == 404


def test_curl_query_in_url_in_body_and_split_between_them(endpoint: EndpointProcess) -> None:
    user = ("--user", ":".join(READER))
    assert curl(*user, f"{endpoint.url}?query=SELECT%201") == b"1\n"
    assert curl(*user, endpoint.url, "-d", "SELECT 2") == b"2\n"
    assert curl(*user, f"{endpoint.url}?query=SELECT", "-d", "3") == b"3\n"
    assert curl(f"{endpoint.url}?user={READER[0]}&password={READER[1]}", "-d", "SELECT 4") == b"4\n"
    keys = ("-H", f"X-ClickHouse-User: {READER[0]}", "-H", f"X-ClickHouse-Key: {READER[1]}")
    assert curl(*keys, endpoint.url, "-d", "SELECT 5") == b"5\n"
    assert curl(*user, "--compressed", endpoint.url, "-d", "SELECT count() FROM numbers(6)") == b"6\n"


def test_curl_inserts_with_the_statement_in_the_url(endpoint: EndpointProcess, table: str) -> None:
    url = f"{endpoint.url}?query=INSERT%20INTO%20{table}%20FORMAT%20CSV"
    assert curl("--user", ":".join(WRITER), url, "--data-binary", "@-", stdin=b'1,"x;y"\n2,"SELECT"\n') == b""
    assert endpoint.ask(f"SELECT * FROM {table} ORDER BY a FORMAT CSV").text == '1,"x;y"\n2,"SELECT"\n'


@pytest.mark.parametrize(
    "insert",
    [
        "INSERT INTO {t} VALUES (1,'a'),(2,upper('b'));",
        "INSERT INTO {t} (a, b) VALUES (1,'a'),(2,'B')",
        "INSERT INTO {t} FORMAT TSV\n1\ta\n2\tB\n",
        'INSERT INTO {t} FORMAT JSONEachRow {{"a":1,"b":"a"}}\n{{"a":2,"b":"B"}}',
        "INSERT INTO {t} SETTINGS max_insert_threads = 1 FORMAT CSV\n1,a\n2,B\n",
        "INSERT INTO {t} SELECT number + 1, if(number = 0, 'a', 'B') FROM numbers(2)",
        "/* VALUES */ INSERT INTO TABLE {t} (`a`, \"b\") -- FORMAT CSV\n VALUES (1, 'a'), (2, 'B')",
    ],
)
def test_forms_of_insert(endpoint: EndpointProcess, table: str, insert: str) -> None:
    answer = endpoint.ask(insert.format(t=table))
    assert answer.status_code == 200, answer.text
    assert endpoint.ask(f"SELECT * FROM {table} ORDER BY a").text == "1\ta\n2\tB\n"


@pytest.mark.parametrize("name", ["gzip", "zstd", "lz4", "blocks"])
def test_compressed_bodies_in_and_out(endpoint: EndpointProcess, table: str, name: str) -> None:
    data = f"INSERT INTO {table} FORMAT CSV\n".encode() + b"".join(b"%d,row %d\n" % (i, i) for i in range(200_000))
    headers = {"Accept-Encoding": name, "Content-Encoding": name}
    if name == "blocks":
        codec = BlockEncoder()
        body, params, headers = codec.feed(data) + codec.finish(), {"decompress": "1"}, {}
    else:
        compress = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress, "lz4": lz4.frame.compress}[name]
        body, params = compress(data), {}
    inserted = httpx.post(endpoint.url, content=body, params=params, headers=headers, auth=WRITER, timeout=60)
    assert inserted.status_code == 200, inserted.text
    question = f"SELECT * FROM {table} ORDER BY a FORMAT CSV"
    if name == "blocks":
        answer = httpx.post(endpoint.url, content=question, params={"compress": "1"}, auth=WRITER, timeout=60)
        text = BlockDecoder().feed(answer.content)
    else:
        with httpx.stream(
            "POST", endpoint.url, content=question, headers={"Accept-Encoding": name}, auth=WRITER, timeout=60
        ) as answer:
            assert answer.headers["content-encoding"] == name
            raw = b"".join(answer.iter_raw())
        text = {
            "gzip": gzip.decompress,
            "lz4": lz4.frame.decompress,
            "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        }[name](raw)
    assert text.count(b"\n") == 200_000
    assert text.endswith(b'199999,"row 199999"\n')


def test_a_body_that_is_cut_short_or_corrupted_inserts_nothing(endpoint: EndpointProcess, table: str) -> None:
    codec = BlockEncoder()
    body = bytearray(codec.feed(f"INSERT INTO {table} VALUES (1,'a')".encode()) + codec.finish())
    short = httpx.post(endpoint.url, content=bytes(body[:-3]), params={"decompress": "1"}, auth=WRITER)
    assert short.headers["x-clickhouse-exception-code"] == "271"
    body[-1] ^= 1
    broken = httpx.post(endpoint.url, content=bytes(body), params={"decompress": "1"}, auth=WRITER)
    assert broken.headers["x-clickhouse-exception-code"] == "40"
    assert endpoint.ask(f"SELECT count() FROM {table}").text == "0\n"


def test_parameters_in_the_url(endpoint: EndpointProcess) -> None:
    answer = endpoint.ask(
        "SELECT {n:UInt8} + 1, {s:String}, {l:Array(UInt8)}", param_n="4", param_s="a'b", param_l="[1]"
    )
    assert answer.text == "5\ta\\'b\t[1]\n"
    missing = endpoint.ask("SELECT {n:UInt8}")
    assert missing.headers["x-clickhouse-exception-code"] == "456"


def test_headers_of_an_answer(endpoint: EndpointProcess, table: str) -> None:
    answer = endpoint.ask("SELECT number FROM numbers(10)", query_id="my-id")
    assert answer.headers["x-clickhouse-query-id"] == "my-id"
    assert answer.headers["x-clickhouse-timezone"]
    assert answer.headers["x-clickhouse-server-display-name"]
    assert json.loads(answer.headers["x-clickhouse-summary"])["result_rows"] == "10"
    insert = endpoint.ask(f"INSERT INTO {table} VALUES (1,'a'),(2,'b')")
    assert json.loads(insert.headers["x-clickhouse-summary"])["written_rows"] == "2"


@pytest.mark.parametrize(
    ("sql", "status", "code", "name"),
    [
        ("SELECT * FROM gold.nope", 404, 60, "UNKNOWN_TABLE"),
        ("SELEC 1", 400, 62, "SYNTAX_ERROR"),
        ("garbage", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1 FORMAT Nope", 404, 73, "UNKNOWN_FORMAT"),
        ("SELECT throwIf(1)", 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT 1 INTO OUTFILE '/tmp/nope'", 500, 358, "INTO_OUTFILE_NOT_ALLOWED"),
        ("INSERT INTO x FROM INFILE '/etc/passwd' FORMAT CSV", 500, 1, "UNSUPPORTED_METHOD"),
        ("CREATE USER x IDENTIFIED BY 'y'", 500, 497, "ACCESS_DENIED"),
        ("INSERT INTO gold.nope VALUES (1)", 404, 60, "UNKNOWN_TABLE"),
        ("", 400, 62, "SYNTAX_ERROR"),
    ],
)
def test_errors_in_clickhouses_form(endpoint: EndpointProcess, sql: str, status: int, code: int, name: str) -> None:
    answer = endpoint.ask(sql)
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (status, str(code))
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert f"({name})" in answer.text


def test_an_error_behind_the_first_rows_is_told_in_the_body_and_the_connection_cut(endpoint: EndpointProcess) -> None:
    sql = "SELECT number, throwIf(number = 900000) FROM numbers(1000000)"
    received = b""
    plain = {"Accept-Encoding": "identity"}
    with httpx.stream("POST", endpoint.url, content=sql, headers=plain, auth=WRITER, timeout=60) as answer:
        tag = answer.headers["x-clickhouse-exception-tag"].encode()
        with pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 (what came before the cut counts)
            for chunk in answer.iter_raw():
                received += chunk
    assert b"__exception__\r\n" + tag + b"\r\nCode: 395. DB::Exception" in received
    assert received.endswith(tag + b"\r\n__exception__\r\n")


def test_get_does_not_write(endpoint: EndpointProcess, table: str) -> None:
    answer = httpx.get(endpoint.url, params={"query": f"INSERT INTO {table} VALUES (1,'a')"}, auth=WRITER)
    assert answer.headers["x-clickhouse-exception-code"] == "164"
    answer = httpx.get(endpoint.url, params={"query": f"DROP TABLE {table}"}, auth=WRITER)
    assert answer.headers["x-clickhouse-exception-code"] == "164"
    assert endpoint.ask(f"SELECT count() FROM {table}").text == "0\n"


def test_unknown_user_and_wrong_password_get_the_same_answer(endpoint: EndpointProcess) -> None:
    for user in (("nobody", "x"), ("reader", "x"), ("default", "")):
        answer = endpoint.ask("SELECT 1", user)
        assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (403, "516")
    assert httpx.post(endpoint.url, content="SELECT 1").status_code == 403


def test_database_by_parameter_and_header(endpoint: EndpointProcess) -> None:
    assert endpoint.ask("SELECT currentDatabase()").text == "default\n"
    assert endpoint.ask("SELECT currentDatabase()", READER, database="gold").text == "gold\n"
    by_header = httpx.post(
        endpoint.url, content="SELECT currentDatabase()", headers={"X-ClickHouse-Database": "live"}, auth=READER
    )
    assert by_header.text == "live\n"
    assert endpoint.ask("SELECT 1", database="nope").headers["x-clickhouse-exception-code"] == "81"


def test_sessions_are_checked_locked_timed_and_closed(endpoint: EndpointProcess) -> None:
    session = str(uuid.uuid4())
    missing = endpoint.ask("SELECT 1", session_id=session, session_check="1")
    assert missing.headers["x-clickhouse-exception-code"] == "372"
    assert endpoint.ask("SET max_threads = 7", session_id=session).status_code == 200
    ask = "SELECT getSetting('max_threads')"
    assert endpoint.ask(ask, session_id=session, session_check="1").text == "7\n"
    too_long = endpoint.ask("SELECT 1", session_id=session, session_timeout="99999")
    assert too_long.headers["x-clickhouse-exception-code"] == "374"
    assert endpoint.ask("SELECT 1", session_id=session, close_session="1").status_code == 200
    gone = endpoint.ask(ask, session_id=session, session_check="1")
    assert gone.headers["x-clickhouse-exception-code"] == "372"


def test_an_idle_session_expires(endpoint: EndpointProcess) -> None:
    session = str(uuid.uuid4())
    begun = time.monotonic()
    endpoint.ask("SET max_threads = 7", session_id=session, session_timeout="1")
    # Every look renews it, so there can be one only, after its time.
    await_true(lambda: time.monotonic() > begun + 1.5, seconds=5, what=lambda: "the clock stands still")
    gone = endpoint.ask("SELECT 1", session_id=session, session_check="1")
    assert gone.headers["x-clickhouse-exception-code"] == "372"


def test_a_session_belongs_to_its_user(endpoint: EndpointProcess) -> None:
    session = str(uuid.uuid4())
    endpoint.ask("CREATE TEMPORARY TABLE mine (a Int8)", session_id=session)
    assert endpoint.ask("SELECT * FROM mine", session_id=session).status_code == 200
    other = endpoint.ask("SELECT * FROM mine", READER, session_id=session)
    assert other.headers["x-clickhouse-exception-code"] == "60"


def test_an_unknown_or_malformed_setting_is_refused(endpoint: EndpointProcess) -> None:
    assert endpoint.ask("SELECT 1", nope="1").headers["x-clickhouse-exception-code"] == "115"
    injected = endpoint.ask("SELECT 1", **{"max_threads = 1, readonly": "0"})
    assert injected.headers["x-clickhouse-exception-code"] == "115"
    assert endpoint.ask("SELECT 1", max_threads="1', readonly = '0").status_code != 200


def test_settings_may_end_like_the_description_of_a_table(endpoint: EndpointProcess) -> None:
    name = f"gold.h_{uuid.uuid4().hex[:8]}"
    sql = f"CREATE TABLE {name} (a LowCardinality(UInt8)) ENGINE = MergeTree ORDER BY a"
    assert endpoint.ask(sql).status_code >= 400
    assert endpoint.ask(sql, allow_suspicious_low_cardinality_types="1").status_code == 200


def test_readers_do_not_see_each_others_settings_or_parameters(endpoint: EndpointProcess) -> None:
    zone = "SELECT timezoneOf(toDateTime(0)), getSetting('max_result_rows')"
    for _ in range(3):
        assert endpoint.ask(zone, READER, session_timezone="Asia/Tokyo", max_result_rows="7").text == "Asia/Tokyo\t7\n"
        assert endpoint.ask(zone, READER).text in ("UTC\t1000000\n", "Etc/UTC\t1000000\n")
        assert endpoint.ask("SELECT {secret:String}", READER, param_secret="mine").text == "mine\n"
        assert endpoint.ask("SELECT {secret:String}", READER).status_code >= 400
        assert endpoint.ask("USE live", READER).status_code == 200
        assert endpoint.ask("SELECT currentDatabase()", READER).text == "default\n"
