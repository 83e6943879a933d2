"""Errors as ClickHouse gives them over HTTP: a code, a name, a text, and the status that belongs to the name."""

from __future__ import annotations

import re

from headwater.errors import TerminalError

HTTP_STATUS = {
    400: """BAD_ARGUMENTS CANNOT_COMPILE_REGEXP CANNOT_PARSE_TEXT CANNOT_PARSE_ESCAPE_SEQUENCE SYNTAX_ERROR
        CANNOT_PARSE_QUOTED_STRING CANNOT_PARSE_DATE CANNOT_PARSE_DATETIME CANNOT_PARSE_NUMBER INCORRECT_DATA
        CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING CANNOT_PARSE_IPV4 CANNOT_PARSE_IPV6 CANNOT_PARSE_UUID DUPLICATE_COLUMN
        CANNOT_PARSE_INPUT_ASSERTION_FAILED ILLEGAL_COLUMN ILLEGAL_TYPE_OF_ARGUMENT UNKNOWN_ELEMENT_IN_AST
        TOO_DEEP_AST TOO_BIG_AST UNEXPECTED_AST_STRUCTURE TYPE_MISMATCH VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        NUMBER_OF_ARGUMENTS_DOESNT_MATCH INVALID_SESSION_TIMEOUT""",
    401: "REQUIRED_PASSWORD",
    403: "UNKNOWN_USER WRONG_PASSWORD AUTHENTICATION_FAILED SET_NON_GRANTED_ROLE",
    404: """UNKNOWN_TABLE UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_TYPE UNKNOWN_STORAGE UNKNOWN_DATABASE
        UNKNOWN_SETTING UNKNOWN_DIRECTION_OF_SORTING UNKNOWN_AGGREGATE_FUNCTION UNKNOWN_FORMAT
        UNKNOWN_DATABASE_ENGINE UNKNOWN_TYPE_OF_QUERY NO_ELEMENTS_IN_CONFIG SESSION_NOT_FOUND""",
    408: "TIMEOUT_EXCEEDED",
    411: "HTTP_LENGTH_REQUIRED",
    413: "QUERY_IS_TOO_LARGE",
    501: "NOT_IMPLEMENTED",
    503: "SOCKET_TIMEOUT CANNOT_OPEN_FILE CANNOT_SCHEDULE_TASK",
    507: "MEMORY_LIMIT_EXCEEDED",
}
"""Status by error name, from ClickHouse's `exceptionCodeToHTTPStatus.cpp`; anything else is 500."""

STATUS_BY_NAME = {name: status for status, names in HTTP_STATUS.items() for name in names.split()}

CODES = {
    "UNSUPPORTED_METHOD": 1,
    "BAD_ARGUMENTS": 36,
    "NOT_IMPLEMENTED": 48,
    "SYNTAX_ERROR": 62,
    "UNKNOWN_COMPRESSION_METHOD": 89,
    "CANNOT_DECOMPRESS": 271,
    "CHECKSUM_DOESNT_MATCH": 40,
    "READONLY": 164,
    "UNKNOWN_FORMAT": 73,
    "UNKNOWN_SETTING": 115,
    "QUERY_IS_TOO_LARGE": 229,
    "TOO_MANY_SIMULTANEOUS_QUERIES": 202,
    "INTO_OUTFILE_NOT_ALLOWED": 358,
    "SESSION_NOT_FOUND": 372,
    "SESSION_IS_LOCKED": 373,
    "INVALID_SESSION_TIMEOUT": 374,
    "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING": 216,
    "QUERY_WAS_CANCELLED": 394,
    "TOO_MANY_ROWS_OR_BYTES": 396,
    "SETTING_CONSTRAINT_VIOLATION": 452,
    "ACCESS_DENIED": 497,
    "SET_NON_GRANTED_ROLE": 512,
    "AUTHENTICATION_FAILED": 516,
    "UNKNOWN_EXCEPTION": 1002,
}
"""The errors that the endpoint raises itself; codes as the engine's `errorCodeToName` knows them."""

_ENGINE_TEXT = re.compile(r"Code: (\d+)\. DB::Exception: ", re.S)
_NAME_AT_END = re.compile(r"\(([A-Z][A-Z0-9_]+)\)(?: \(version [^)]*\))?\.?\s*$")
_VERSION = re.compile(r" \(version [^)]*\)\.?")


class EndpointError(TerminalError):
    """An error that is answered to the client in ClickHouse's form."""

    def __init__(self, name: str, message: str, code: int | None = None) -> None:
        self.name = name
        self.code = CODES[name] if code is None else code
        self.message = message
        super().__init__(message)

    @property
    def status(self) -> int:
        """The HTTP status ClickHouse answers this error with."""
        return STATUS_BY_NAME.get(self.name, 500)

    def body(self, version: str) -> str:
        """The text of the answer, as clients parse it: `Code: N. DB::Exception: … (NAME) (version …)`."""
        return f"Code: {self.code}. DB::Exception: {self.message} ({self.name}) (version {version} (embedded))\n"


def veiled(error: EndpointError) -> EndpointError:
    """The same for a table that is not there and for one that the asker may not read."""
    ungranted = error.name == "ACCESS_DENIED" and "have the grant" in error.message
    if not ungranted and error.name not in ("UNKNOWN_TABLE", "UNKNOWN_DATABASE"):
        return error
    return EndpointError("ACCESS_DENIED", "There is no such table here, or you may not read it; SHOW TABLES has yours.")


def from_engine(error: BaseException) -> EndpointError:
    """The engine's exception as an `EndpointError`; the text repeats its own prefix where it was wrapped."""
    text = str(error)
    found = list(_ENGINE_TEXT.finditer(text))
    if not found:
        return EndpointError("UNKNOWN_EXCEPTION", text)
    last = found[-1]
    rest = text[last.end() :].strip()
    name = "UNKNOWN_EXCEPTION"
    while match := _NAME_AT_END.search(rest):
        name = match.group(1)
        rest = rest[: match.start()].rstrip().rstrip(".").rstrip()
    return EndpointError(name, _VERSION.sub("", rest) + ".", int(last.group(1)))
