"""Values of events in the types of a contract: what is taken, and what is not guessed."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from headwater.api.values import Unfit, fit
from headwater.contracts.types import parse_type

TAKEN = [
    ("string", "x", "x"),
    ("boolean", False, False),
    ("int", -(2**31), -(2**31)),
    ("long", 2**63 - 1, 2**63 - 1),
    ("double", Decimal("1.5"), 1.5),
    ("float", 2, 2.0),
    ("decimal(10,2)", "12.10", Decimal("12.10")),
    ("decimal(10,2)", Decimal("99999999.99"), Decimal("99999999.99")),
    ("decimal(10,2)", -3, Decimal("-3.00")),
    ("decimal(10,2)", Decimal("1.100"), Decimal("1.10")),
    ("decimal(10,2)", Decimal("0E+999999"), Decimal("0.00")),
    ("date", "2017-03-01", date(2017, 3, 1)),
    ("timestamp", "2017-03-01T10:00:00Z", datetime(2017, 3, 1, 10, tzinfo=UTC)),
    ("timestamp", "2017-03-01T10:00:00.123456+02:00", datetime(2017, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)),
    ("uuid", "5C1B6E8E-3F0C-4A55-9D0C-0F4D2B7A1C11", "5c1b6e8e-3f0c-4a55-9d0c-0f4d2b7a1c11"),
    ("binary", "aGk=", b"hi"),
    ("binary", b"hi", b"hi"),
    ("array<long>", [1, None], [1, None]),
    ("map<string,decimal(4,1)>", {"a": 1, "b": None}, [("a", Decimal("1.0")), ("b", None)]),
]
REFUSED = [
    ("string", 1),
    ("string", "\ud800"),
    ("boolean", 1),
    ("int", 2**31),
    ("int", True),
    ("int", "1"),
    ("long", Decimal("1.0")),
    ("long", Decimal("1E+999999999")),
    ("double", "1"),
    ("double", Decimal("1E+400")),
    ("float", Decimal("1E+39")),
    ("decimal(10,2)", Decimal("1.005")),
    ("decimal(10,2)", Decimal("100000000.00")),
    ("decimal(10,2)", Decimal("1E+999999999")),
    ("decimal(10,2)", Decimal("1." + "0" * 200 + "1")),
    ("decimal(10,2)", Decimal("-Infinity")),
    ("decimal(10,2)", "1_0"),
    ("decimal(10,2)", "NaN"),
    ("decimal(10,2)", "x"),
    ("decimal(10,2)", 1.5),
    ("date", "2017-02-30"),
    ("date", "20170301"),
    ("date", datetime(2017, 3, 1, tzinfo=UTC)),
    ("timestamp", "2017-03-01T10:00:00"),
    ("timestamp", "0001-01-01T00:00:00+14:00"),
    ("timestamp", 1488362400),
    ("uuid", "x"),
    ("binary", "no base64!"),
    ("array<long>", {"a": 1}),
    ("array<long>", ["a"]),
    ("map<string,long>", [1]),
]


@pytest.mark.parametrize(("kind", "value", "expected"), TAKEN)
def test_takes_what_is_of_the_type(kind, value, expected):
    taken = fit(value, parse_type(kind))
    assert (taken, type(taken)) == (expected, type(expected))


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_refuses_what_is_not_without_repeating_it(kind, value):
    with pytest.raises(Unfit) as refused:
        fit(value, parse_type(kind))
    assert repr(value) not in str(refused.value)
