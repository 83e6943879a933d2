"""What each mask is in ClickHouse: the expression over a column, the type that comes of it, and the types it takes."""

from __future__ import annotations

from headwater.contracts.clickhouse import clickhouse_type, column_type
from headwater.contracts.model import Column
from headwater.contracts.types import Array, DataType, Map, Primitive
from headwater.policy.model import Mask

KEYS_DATABASE = "headwater_keys"
KEY_TABLE = f"{KEYS_DATABASE}.mask_key"
"""One row with the key of hashes. It is joined, never written into a view: a view's text, its plans and its errors
are open to whoever may query it, and with the key a thousand household numbers are guessed in a moment."""

TABLE, KEY = "t", "k"
"""The aliases in a view."""
_WHOLE = (Primitive.STRING, Primitive.UUID, Primitive.INT, Primitive.LONG)
_TAKES: dict[Mask, tuple[Primitive, ...]] = {
    Mask.HASH: (*_WHOLE, Primitive.DATE),
    Mask.LAST_FOUR: _WHOLE,
    Mask.YEAR_ONLY: (Primitive.DATE, Primitive.TIMESTAMP),
}


def takes(mask: Mask, kind: DataType) -> bool:
    """Whether the mask can be laid on a column of this type."""
    if mask is Mask.PLAIN:
        return True
    if mask is Mask.NULL:
        return not isinstance(kind, Array | Map)
    return kind in _TAKES[mask]


def masked(column: Column, mask: Mask, *, key: bool) -> tuple[str, str]:
    """Expression and ClickHouse type; `key` says that the column is in the table's sorting key."""
    name = f"{TABLE}.`{column.name}`"
    text = f"toString({name})"
    nullable = not (column.required or key)
    match mask:
        case Mask.PLAIN:
            return name, clickhouse_type(column, key)
        case Mask.NULL:
            kind = f"Nullable({column_type(column.type)})"
            return f"CAST(NULL AS {kind})", kind
        case Mask.HASH:
            return f"lower(substring(hex(SHA256(concat({KEY}.key, {text}))), 1, 32))", _nullable("String", nullable)
        case Mask.LAST_FOUR:
            shown = f"if(lengthUTF8({text}) > 4, concat('****', substringUTF8({text}, -4)), '****')"
            return (f"if(isNull({name}), NULL, {shown})" if nullable else shown), _nullable("String", nullable)
        case Mask.YEAR_ONLY:
            year = f"toYear({name})"
            date = f"makeDate32({year}, 1, 1)"
            moment = f"makeDateTime64({year}, 1, 1, 0, 0, 0, 0, 6, 'UTC')"
            expression = date if column.type is Primitive.DATE else moment
            return expression, _nullable(column_type(column.type), nullable)


def _nullable(kind: str, nullable: bool) -> str:
    return f"Nullable({kind})" if nullable else kind
