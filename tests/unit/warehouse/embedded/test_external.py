"""What a client may say of the table it sends along."""

import pytest

from headwater.warehouse.embedded.access import EXTERNAL_ROLE
from headwater.warehouse.embedded.engine import Engine
from headwater.warehouse.embedded.errors import EndpointError
from headwater.warehouse.embedded.external import external_table


@pytest.mark.parametrize(
    ("options", "structure"),
    [
        ({"e_structure": "a Int32, b String"}, "a Int32, b String"),
        ({"e_structure": "a Int32,"}, "a Int32"),
        ({"e_structure": "`a b` Array(Nullable(DateTime64(3, 'UTC')))"}, "`a b` Array(Nullable(DateTime64(3, 'UTC')))"),
        ({"e_types": "UInt8, Map(String, Int8)"}, "_1 UInt8, _2 Map(String, Int8)"),
    ],
)
def test_names_and_types_pass(options: dict[str, str], structure: str) -> None:
    assert external_table("e", options, b"").structure == structure


@pytest.mark.parametrize(
    "structure",
    [
        "",
        "a",
        "a Int32 DEFAULT 1",
        "a Int32) x (b",
        "a Int32; DROP TABLE t",
        "a Int32 -- x",
        "a Int32 /* x */",
        "a Int8()()",
    ],
)
def test_anything_else_is_refused(structure: str) -> None:
    with pytest.raises(EndpointError, match=r"must be names and types|Neither structure nor types"):
        external_table("e", {"e_structure": structure}, b"")


def test_the_format_is_a_word() -> None:
    with pytest.raises(EndpointError, match="Unknown format"):
        external_table("e", {"e_structure": "a Int8", "e_format": "CSV SETTINGS x = 1"}, b"")


def test_the_role_behind_it_may_do_nothing_else(tmp_path) -> None:
    """The second layer: what the first would let through, the engine refuses."""
    engine = Engine(tmp_path, ["default", "gold"])
    connection = engine.connect()
    connection.run("CREATE TABLE gold.t (a Int8) ENGINE = Memory")
    connection.set_up({}, role=EXTERNAL_ROLE, database=None)
    connection.create_external_table("fine", "a Int8", "CSV", b"1\n")
    for sql in (
        "DROP TABLE gold.t",
        "CREATE TEMPORARY TABLE x AS SELECT * FROM gold.t",
        "SELECT * FROM file('/etc/passwd')",
    ):
        with pytest.raises(EndpointError, match="Not enough privileges"):
            connection.run(sql)
    connection.close()
    engine.close()
