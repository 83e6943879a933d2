"""Settings of a request: which of them a read-only user may send, and the caps none of his queries gets past.

Under readonly=1 the engine refuses every change of a setting, yet drivers send some with each query. So the endpoint
judges them here, sets the caps and what passed, and sets readonly=1 last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from headwater.warehouse.embedded.access import User
from headwater.warehouse.embedded.errors import EndpointError

_TRANSPORT = """
query query_id user password database default_format session_id session_timeout session_check close_session
compress decompress quota_key role stacktrace buffer_size wait_end_of_query client_protocol_version
enable_http_compression http_zlib_compression_level send_progress_in_http_headers
http_headers_progress_interval_ms http_write_exception_in_output_format add_http_cors_header
cancel_http_readonly_queries_on_client_close http_response_buffer_size http_response_headers
"""
TRANSPORT_PARAMS = frozenset(_TRANSPORT.split())
"""Parameters of the HTTP interface itself; they are not handed to the engine."""

READER_MAY_SET = re.compile(
    r"""(?: output_format_\w+ | input_format_\w+ | format_(?!schema|template)\w+ | date_time_\w+ | join_use_nulls
    | session_timezone | use_client_time_zone | extremes | max_block_size | max_threads | log_comment | log_queries
    | connect_timeout\w* | receive_timeout | send_timeout | http_\w+_timeout | use_uncached_cache | readonly
    | limit | offset | prefer_column_name_to_alias | group_by_use_nulls | aggregate_functions_null_for_empty
    | transform_null_in | union_default_mode | enable_analyzer | allow_experimental_analyzer
    | optimize_read_in_order | enable_optimize_predicate_expression | use_query_cache | final
    | max_rows_to_group_by | max_result_rows | max_result_bytes | max_execution_time | max_rows_to_read
    | max_bytes_to_read | max_memory_usage | result_overflow_mode | timeout_overflow_mode | read_overflow_mode
    | group_by_overflow_mode | cast_keep_nullable | async_insert | wait_for_async_insert
    | select_sequential_consistency | count_distinct_implementation | decimal_check_overflow
    | allow_experimental_\w+_type | enable_\w+_type )""",
    re.X,
)
"""Settings that shape a read-only user's answer and reach nothing else; the `max_*` among them only downwards."""

READER_MAY_NOT_SET = frozenset({"output_format_schema"})
"""Exceptions: this one names a file that is written."""


MEMBER_MAY_NOT_SET = frozenset(
    {"use_query_cache", "enable_analyzer", "allow_experimental_analyzer", "final", "transform_null_in"}
)
"""What those may not set either who read the policy's views: these change how a view is planned, what its predicate
says of nulls, or whose answer one gets."""


@dataclass(frozen=True)
class Limits:
    """Caps of the endpoint. Rows and bytes are those of a read-only user's answer, seconds those of any his query.

    `short_queries` run at a time; twice the cores of a small machine, since each waits for its client now and then.
    """

    reader_rows: int = 1_000_000
    reader_bytes: int = 256 * 1024**2
    reader_seconds: int = 60
    query_memory: int = 2 * 1024**3
    concurrent_queries: int = 256
    query_threads: int = 2
    short_queries: int = 4
    worker_threads: int = 64
    statement_bytes: int = 16 * 1024**2
    form_bytes: int = 256 * 1024**2
    member: bool = False

    def of(self, user: User) -> Limits:
        """These limits, narrowed to the user's own."""
        if user.caps is None:
            return self
        return replace(
            self,
            reader_rows=min(self.reader_rows, user.caps.rows),
            reader_bytes=min(self.reader_bytes, user.caps.bytes),
            reader_seconds=min(self.reader_seconds, user.caps.seconds),
            member=True,
        )

    def reader_caps(self) -> dict[str, str]:
        """The caps as engine settings."""
        return {
            "max_result_rows": str(self.reader_rows),
            "max_result_bytes": str(self.reader_bytes),
            "max_execution_time": str(self.reader_seconds),
            "max_memory_usage": str(self.query_memory),
            "max_threads": str(self.query_threads),
        }


def judge_reader_settings(wanted: Mapping[str, str], limits: Limits) -> dict[str, str]:
    """The settings a read-only user's query runs with: the caps, and of `wanted` what is allowed.

    Raises READONLY for a setting that is not on the list, SETTING_CONSTRAINT_VIOLATION for one beyond its cap.
    """
    caps = limits.reader_caps()
    result = dict(caps)
    for name, value in wanted.items():
        refused = name in READER_MAY_NOT_SET or (limits.member and name in MEMBER_MAY_NOT_SET)
        if refused or not READER_MAY_SET.fullmatch(name):
            raise EndpointError("READONLY", f"Cannot modify '{name}' setting in readonly mode.")
        if name == "readonly":
            _refuse_weaker_readonly(value)
            continue
        if name in caps:
            _refuse_beyond(name, value, caps[name])
        result[name] = value
    if limits.member:
        # The engine counts an answer's rows by the block.
        result.pop("max_block_size", None)
    if result.get("result_overflow_mode") == "break":
        # JDBC's setMaxRows asks for it; by itself it stops only after the block that goes beyond.
        most = int(float(result["max_result_rows"]))
        result["limit"] = str(min(_asked_limit(result.get("limit", "0")) or most, most))
    return result


def _asked_limit(value: str) -> int:
    if not value.isdecimal():
        raise EndpointError("BAD_ARGUMENTS", f"Setting limit must be a whole number, got '{value}'.")
    return int(value)


def _refuse_weaker_readonly(value: str) -> None:
    if value != "1":
        raise EndpointError("READONLY", "Cannot modify 'readonly' setting in readonly mode.")


def _refuse_beyond(name: str, value: str, cap: str) -> None:
    try:
        number = float(value)
    except ValueError as error:
        raise EndpointError("BAD_ARGUMENTS", f"Setting {name} must be a number, got '{value}'.") from error
    if not 0 < number <= float(cap):
        raise EndpointError(
            "SETTING_CONSTRAINT_VIOLATION", f"Setting {name} shouldn't be greater than {cap} (0 means no limit)."
        )
