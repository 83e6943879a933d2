"""What the policy says, as plain values that know no engine.

A *role* sees the datasets whose contract names it in `roles`; the policy says how: a mask per classification or
column, a predicate on rows, limits of one answer. A *group* gives a role and attributes to those who are in it. An
identity has one role at a time, so that there is one view per dataset and role to prove.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from headwater.errors import TerminalError

DATABASE_PREFIX = "role_"
"""A role's database is this and its name."""

ATTRIBUTES_SETTING = "query_cache_tag"
"""The ClickHouse setting that carries the asker's attributes as JSON, {"stores": [1, 2]}.

chDB refuses custom settings, so it is one of ClickHouse's own, which no reader may set; and it keeps answers in the
query cache apart, which is its purpose.
"""

AttributeValues = Mapping[str, Sequence[str | int]]


class Mask(StrEnum):
    """What is shown instead of a value. A null stays null."""

    PLAIN = "plain"  # the value itself
    HASH = "hash"  # 32 hex digits, keyed: equal values stay equal in every dataset, so that they still join
    LAST_FOUR = "last_four"  # **** and the last four characters; four or fewer are ****
    YEAR_ONLY = "year_only"  # the first moment of that year
    NULL = "null"


class Surface(StrEnum):
    """Where somebody asks."""

    CLICKHOUSE = "clickhouse"
    MCP = "mcp"
    API = "api"


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of one answer; of the queries within an hour (on a ClickHouse server only); of what one identity asks for
    and gets within a minute through API and MCP, where 0 is no cap.
    """

    rows: int
    bytes: int
    seconds: int
    queries_per_hour: int
    requests_per_minute: int = 0
    rows_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """How a role sees one table: a mask per column (in the table's order), and the predicate of its rows or ''."""

    dataset: str
    table: str  # <database>.<dataset>
    masks: Mapping[str, Mask]
    rows: str = ""

    @property
    def masked(self) -> dict[str, Mask]:
        """The columns that are not plain."""
        return {name: mask for name, mask in self.masks.items() if mask is not Mask.PLAIN}


@dataclass(frozen=True, slots=True)
class Role:
    """A role; `purposes[0]` is what counts where the asker cannot name one."""

    name: str
    description: str
    purposes: tuple[str, ...]
    surfaces: tuple[Surface, ...]
    limits: Limits
    views: Mapping[str, View]  # by dataset

    @property
    def database(self) -> str:
        """The database with its views."""
        return DATABASE_PREFIX + self.name


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something about an identity that a predicate may use: a list of values of one type, `long` or `string`."""

    name: str
    type: str
    description: str


@dataclass(frozen=True, slots=True)
class Group:
    """Who is in it has this role, and these attributes unless the identity has its own."""

    name: str
    role: str
    attributes: AttributeValues = field(default_factory=dict)


class NoRole(TerminalError):
    """An identity has no role, or more than one, or attributes that are not what the policy declares."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the policy sees it."""

    name: str
    groups: tuple[str, ...]
    role: Role
    attributes: AttributeValues


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole policy. `version` names its text: another rule is another version."""

    version: str
    attributes: Mapping[str, Attribute]
    purposes: Mapping[str, str]
    roles: Mapping[str, Role]
    groups: Mapping[str, Group]
    rego: str

    def caller(self, name: str, groups: Sequence[str], attributes: AttributeValues | None = None) -> Caller:
        """The role and the attributes of an identity; its own `attributes` go before those of its groups.

        Groups that the policy does not know give nothing. Raises `NoRole` where they give no role, or several.
        """
        known = [self.groups[group] for group in groups if group in self.groups]
        roles = sorted({group.role for group in known})
        if len(roles) != 1:
            found = "no role" if not roles else f"the roles {', '.join(roles)}"
            raise NoRole(
                f"its groups give {found}, and it takes exactly one",
                where=f"identity {name}",
                remedy="`headwater identity group` puts it into other groups; schemas/policies has their roles",
            )
        merged: dict[str, list[str | int]] = {}
        for group in known:
            for attribute, values in group.attributes.items():
                merged[attribute] = sorted({*merged.get(attribute, []), *values}, key=str)
        own = {key: list(values) for key, values in (attributes or {}).items() if key in self.attributes}
        for key, values in own.items():
            kind = int if self.attributes[key].type == "long" else str
            if any(type(value) is not kind for value in values):
                what = f"its attribute {key} has values that are no {self.attributes[key].type}"
                raise NoRole(what, where=f"identity {name}", remedy="correct the identity, or the token's claim")
        return Caller(name, tuple(group.name for group in known), self.roles[roles[0]], {**merged, **own})
