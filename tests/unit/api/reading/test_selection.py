"""Columns, filters, order and cursor: names from the role's view, values bound, every page where the last one ended."""

from __future__ import annotations

import pytest

from headwater.api.problems import Problem
from headwater.api.reading import cursor as cursors
from headwater.api.reading.selection import TIE, selected
from headwater.contracts.loader import load_contracts
from headwater.policy.loader import load_policy
from headwater.policy.model import Mask
from headwater.serving.shape import Shape, ShownColumn, shape_of


def column(name: str, kind: str, *, nullable: bool = False, mask: Mask = Mask.PLAIN) -> ShownColumn:
    return ShownColumn(name, kind, nullable, mask, "")


COLUMNS = (
    column("id", "Int64"),
    column("day", "Date32", nullable=True),
    column("amount", "Decimal(10, 2)"),
    column("note", "String", nullable=True),
    column("share", "Float64"),
)
SHAPE = Shape("sales", "gold.sales", {one.name: one for one in COLUMNS}, ("id",))
KEYLESS = Shape("sales", "gold.sales", SHAPE.columns, ())


def test_values_are_bound_and_never_text_of_the_statement():
    hostile = "x' OR 1=1 --"
    found = selected(SHAPE, "id", [f"note:eq:{hostile}", "id:in:1,2"]).statement("role_analyst", 10, None)
    assert hostile not in found.sql
    assert "`note` = {f0:String}" in found.sql
    assert "`id` IN ({f1_0:Int64}, {f1_1:Int64})" in found.sql
    assert found.parameters == {"f0": "x\\' OR 1=1 --", "f1_0": "1", "f1_1": "2"}
    assert found.sql.startswith("SELECT `id` FROM `role_analyst`.`sales` WHERE ")


@pytest.mark.parametrize(
    ("filters", "sort", "columns", "status"),
    [
        (["secret:eq:1"], "", "", 422),
        ([], "secret", "", 422),
        ([], "", "id,secret", 422),
        ([], "share", "", 422),
        (["share:lt:1.0"], "", "", 422),
        (["id:eq:one"], "", "", 422),
        (["id:eq:99999999999999999999"], "", "", 422),
        (["day:ge:1492-10-12"], "", "", 422),
        (["day:ge:2017-02-30"], "", "", 422),
        (["amount:eq:1e9"], "", "", 422),
        (["amount:eq:1.005"], "", "", 422),
        (["amount:eq:NaN"], "", "", 422),
        (["note:null:maybe"], "", "", 422),
        (["id:contains:1"], "", "", 422),
        (["note:eq:\ud800"], "", "", 422),
        (["note:like:a%"], "", "", 400),
        (["note"], "", "", 400),
        (["id:eq:1"] * 21, "", "", 400),
    ],
)
def test_what_is_not_there_or_no_value_is_refused(filters, sort, columns, status):
    with pytest.raises(Problem) as refused:
        selected(SHAPE, columns, filters, sort)
    assert refused.value.status == status


def test_the_order_ends_with_the_key_so_that_it_is_total():
    sql = selected(SHAPE, "note", sort="-day").statement("r", 5, None).sql
    assert sql.endswith("ORDER BY `day` DESC NULLS LAST, `id` ASC NULLS LAST LIMIT 5")
    assert sql.startswith("SELECT `note`, `day`, `id` FROM")


def test_without_a_key_a_hash_of_all_that_is_shown_breaks_ties():
    statement = selected(KEYLESS, "day").statement("r", 5, None)
    assert f"cityHash64(toString(tuple(`id`, `day`, `amount`, `note`, `share`))) AS `{TIE}`" in statement.sql
    assert statement.keys == (TIE,)


def test_a_page_begins_at_the_cursor_and_skips_what_was_given():
    chosen = selected(SHAPE, sort="-day")
    begin = cursors.Cursor(("2017-01-05", "7"), 1, "")
    statement = chosen.statement("r", 3, begin)
    assert (
        "((`day` < {c0:Date32} OR isNull(`day`))) OR (`day` = {c0:Date32} AND `id` > {c1:Int64})"
        " OR (`day` = {c0:Date32} AND `id` = {c1:Int64})" in statement.sql
    )
    assert statement.sql.endswith("LIMIT 3 OFFSET 1")
    assert statement.parameters == {"c0": "2017-01-05", "c1": "7"}


def test_behind_a_null_come_only_nulls():
    sql = selected(SHAPE, sort="day").statement("r", 3, cursors.Cursor((None, "7"), 0, "")).sql
    assert "(isNull(`day`) AND `id` > {c1:Int64}) OR (isNull(`day`) AND `id` = {c1:Int64})" in sql


def test_a_cursor_is_of_one_question():
    question = ["analyst", "sales", ["id"]]
    text = cursors.written(cursors.Cursor(("é", None), 2, "mark"), question)
    assert cursors.read(text, question) == cursors.Cursor(("é", None), 2, "mark")
    for other, broken in ((["analyst", "other"], text), (question, text[:-3]), (question, "!"), (question, "bnVsbA")):
        with pytest.raises(Problem, match="cursor"):
            cursors.read(broken, other)


def test_what_no_request_could_bring_back_is_no_cursor():
    fits = cursors.written(cursors.Cursor(("x" * 2900,), 0, "mark"), ["q"])
    assert cursors.read(fits, ["q"]).after == ("x" * 2900,)
    with pytest.raises(Problem, match="too long") as refused:
        cursors.written(cursors.Cursor(("x" * 3100,), 0, "mark"), ["q"])
    assert refused.value.status == 422


def test_a_changed_cursor_reads_no_more_than_its_values():
    text = cursors.written(cursors.Cursor(("1 OR 1=1",), 0, ""), ["q"])
    with pytest.raises(Problem, match="Int64"):
        selected(SHAPE).statement("r", 3, cursors.read(text, ["q"]))


def test_evidence_names_the_dataset_and_no_value():
    replay = selected(SHAPE, "id", ["note:eq:secret"]).replay(10)
    assert (
        replay == "SELECT `id` FROM `gold`.`sales` WHERE (`note` = {f0:String}) ORDER BY `id` ASC NULLS LAST LIMIT 10"
    )


def test_evidence_of_a_later_page_is_that_page_with_its_columns_alone():
    begin = cursors.Cursor(("7",), 2, "")
    assert selected(SHAPE, "note").replay(10, begin) == (
        "SELECT `note` FROM `gold`.`sales` WHERE ((`id` > {c0:Int64}) OR (`id` = {c0:Int64}))"
        " ORDER BY `id` ASC NULLS LAST LIMIT 10 OFFSET 2"
    )
    keyless = selected(KEYLESS, "day").replay(10, begin)
    tie = "cityHash64(toString(tuple(`id`, `day`, `amount`, `note`, `share`)))"
    assert keyless == (
        f"SELECT `day` FROM `gold`.`sales` WHERE (({tie} > {{c0:UInt64}}) OR ({tie} = {{c0:UInt64}}))"
        f" ORDER BY {tie} ASC NULLS LAST LIMIT 10 OFFSET 2"
    )


def test_a_key_that_a_mask_makes_alike_orders_nothing():
    contracts = load_contracts()
    policy = load_policy(contracts=contracts)
    rfm = contracts.get("mart_marketing_rfm")
    analyst = shape_of(rfm, policy.roles["analyst"].views["mart_marketing_rfm"])
    marketer = shape_of(rfm, policy.roles["marketer"].views["mart_marketing_rfm"])
    assert analyst.key == rfm.primary_key
    assert analyst.columns["household_id"].kind == "String"
    assert marketer.key == ()
