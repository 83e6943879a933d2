"""The policy from schemas/policies/*.yaml and the contracts: read, judged whole, and resolved per role and dataset.

Every fault of every file is raised at once as `ContractErrors`, with file, line and remedy; nothing is loaded half.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headwater.contracts.clickhouse import table_columns, warehouse_tables
from headwater.contracts.document import Document, read_document
from headwater.contracts.loader import load_contracts, raise_errors
from headwater.contracts.model import Column, Contracts, Dataset
from headwater.errors import ContractError
from headwater.policy.masks import takes
from headwater.policy.model import Attribute, Group, Limits, Mask, Policy, Role, Surface, View
from headwater.policy.predicate import parse
from headwater.policy.shape import shape_errors
from headwater.settings import get_settings

SECTIONS = ("attributes", "purposes", "roles", "groups")
DECISION = "decision.rego"


def load_policy(directory: Path | None = None, contracts: Contracts | None = None) -> Policy:
    """The policy of the directory (by default the project's). Raises `ContractErrors`."""
    directory = directory or get_settings().policies_dir
    contracts = contracts or load_contracts()
    documents = [read_document(path) for path in sorted(directory.glob("*.yaml"))]
    raise_errors(error for document in documents for error in shape_errors(document))
    raise_errors(_declared_twice(documents))
    rego = directory / DECISION
    if not rego.exists():
        raise ContractError("there is no decision", where=str(rego), remedy="restore it: without it all is denied")
    return _Builder(documents, contracts, rego.read_text(encoding="utf-8")).build()


def _declared_twice(documents: list[Document]) -> Iterator[ContractError]:
    seen: dict[tuple[str, str], Document] = {}
    for document in documents:
        for section in SECTIONS:
            for name in document.data.get(section) or {}:
                if (other := seen.setdefault((section, name), document)) is not document:
                    yield document.error((section, name), f"{name} is also in {other.path}", "keep one")


class _Builder:
    """Judges what needs more than one place to be known."""

    def __init__(self, documents: list[Document], contracts: Contracts, rego: str) -> None:
        self._documents = documents
        self._contracts = contracts
        self._rego = rego
        self._errors: list[ContractError] = []
        self._attributes = {
            name: Attribute(name, given["type"], given["description"])
            for _, name, given in self._declared("attributes")
        }
        self._purposes: dict[str, str] = {name: text for _, name, text in self._declared("purposes")}

    def _declared(self, section: str) -> Iterator[tuple[Document, str, Any]]:
        for document in self._documents:
            for name, given in (document.data.get(section) or {}).items():
                yield document, name, given

    def build(self) -> Policy:
        """The policy. Raises `ContractErrors`."""
        roles = {name: self._role(document, name, given) for document, name, given in self._declared("roles")}
        groups = {name: self._group(document, name, given, roles) for document, name, given in self._declared("groups")}
        self._errors += _unknown_roles(self._contracts, roles)
        raise_errors(self._errors)
        named = (self._attributes, self._purposes, roles, groups)
        return Policy(version_of(*named, self._rego), *named, self._rego)

    def _role(self, document: Document, name: str, given: Mapping[str, Any]) -> Role:
        at = ("roles", name)
        for i, purpose in enumerate(given["purposes"]):
            if purpose not in self._purposes:
                known = ", ".join(self._purposes) or "none"
                self._fault(document, (*at, "purposes", i), f"there is no purpose '{purpose}'", f"declared: {known}")
        seen = [d for _, d in sorted(self._contracts.datasets.items()) if name in d.roles and warehouse_tables(d)]
        if not seen:
            remedy = f"write `- {{role: {name}, access: read}}` under `roles` of a contract"
            self._fault(document, at, f"no contract of a ClickHouse table names the role {name}", remedy)
        for dataset in given.get("datasets") or {}:
            if dataset not in {d.name for d in seen}:
                remedy = "name the role in its contract's `roles`, or leave it out here"
                self._fault(document, (*at, "datasets", dataset), f"{name} may not read '{dataset}'", remedy)
        return Role(
            name=name,
            description=given["description"],
            purposes=tuple(given["purposes"]),
            surfaces=tuple(Surface(surface) for surface in given["surfaces"]),
            limits=Limits(**given["limits"]),
            views={dataset.name: self._view(document, name, given, dataset) for dataset in seen},
        )

    def _view(self, document: Document, role: str, given: Mapping[str, Any], dataset: Dataset) -> View:
        table = warehouse_tables(dataset)[0]
        columns = {column.name: column for column in table_columns(dataset, table)}
        own = (given.get("datasets") or {}).get(dataset.name) or {}
        at = ("roles", role, "datasets", dataset.name)
        chosen = own.get("columns") or {}
        for name in chosen:
            if name not in columns:
                remedy = f"known are: {', '.join(columns)}"
                self._fault(document, (*at, "columns", name), f"{dataset.name} has no column '{name}'", remedy)
        masks = {name: _mask_of(given, dataset.name, column) for name, column in columns.items()}
        for name, column in columns.items():
            mask = masks[name]
            place = (*at, "columns", name) if name in chosen else ("roles", role, "masks", column.classification)
            if not takes(mask, column.type):
                remedy = f"choose another mask for it in roles.{role}.datasets.{dataset.name}.columns"
                what = f"{mask} does not go with {dataset.name}.{name}, which is {column.type}"
                self._fault(document, place, what, remedy)
            elif mask is Mask.PLAIN and name not in chosen and (source := self._stands_for(dataset, column, given)):
                what = f"{dataset.name}.{name} stands for '{source.name}', which is masked for {role}"
                remedy = f"choose its mask (or plain) in roles.{role}.datasets.{dataset.name}.columns"
                self._fault(document, ("roles", role), what, remedy)
        rows = own.get("rows", "")
        if rows:
            try:
                parse(rows, columns, self._attributes)
            except ContractError as error:
                self._fault(document, (*at, "rows"), error.what, error.remedy)
        return View(dataset.name, f"{table.database}.{dataset.name}", masks, rows)

    def _stands_for(self, dataset: Dataset, column: Column, given: Mapping[str, Any], deep: int = 0) -> Column | None:
        """The masked column that this key is made of: its hash, or a number for it, is as telling as it is."""
        if not (column.primary_key or column.references) or deep > 8:
            return None
        for sibling in dataset.columns:
            same = sibling is not column and set(sibling.sources) & set(column.sources)
            if same and not deep and _mask_of(given, dataset.name, sibling) is not Mask.PLAIN:
                return sibling
        for source in column.sources:
            owner, _, name = source.rpartition(".")
            other = self._contracts.datasets.get(owner)
            found = next((c for c in other.columns if c.name == name), None) if other else None
            if other is None or found is None:
                continue
            if _mask_of(given, other.name, found) is not Mask.PLAIN:
                return found
            if deeper := self._stands_for(other, found, given, deep + 1):
                return deeper
        return None

    def _group(self, document: Document, name: str, given: Mapping[str, Any], roles: Mapping[str, Role]) -> Group:
        at = ("groups", name)
        if given["role"] not in roles:
            known = ", ".join(roles) or "none"
            self._fault(document, (*at, "role"), f"there is no role '{given['role']}'", f"declared are: {known}")
        attributes = given.get("attributes") or {}
        for attribute, values in attributes.items():
            if fault := attribute_fault(attribute, values, self._attributes):
                self._fault(document, (*at, "attributes", attribute), fault, "correct the group's attributes")
        return Group(name, given["role"], {key: tuple(values) for key, values in attributes.items()})

    def _fault(self, document: Document, at: tuple[str | int, ...], what: str, remedy: str) -> None:
        self._errors.append(document.error(at, what, remedy))


def _mask_of(role: Mapping[str, Any], dataset: str, column: Column) -> Mask:
    """The mask of a column for a role of the file: the dataset's own choice, or else that of its classification."""
    chosen = ((role.get("datasets") or {}).get(dataset) or {}).get("columns") or {}
    by_class = role["masks"].get(column.classification, Mask.PLAIN)
    return Mask(chosen.get(column.name, by_class) or Mask.NULL)


def attribute_fault(name: str, values: object, attributes: Mapping[str, Attribute]) -> str:
    """Why these are no values of this attribute, or nothing."""
    if name not in attributes:
        return f"there is no attribute '{name}'; declared are: {', '.join(attributes) or 'none'}"
    kind = int if attributes[name].type == "long" else str
    wrong = [value for value in values if type(value) is not kind] if isinstance(values, list | tuple) else [values]
    return f"{wrong[0]!r} is no {attributes[name].type}" if wrong else ""


def _unknown_roles(contracts: Contracts, roles: Mapping[str, Role]) -> Iterator[ContractError]:
    for _, dataset in sorted(contracts.datasets.items()):
        if unknown := [role for role in dataset.roles if role not in roles]:
            document = read_document(dataset.path)
            known = ", ".join(roles) or "none"
            yield document.error(("roles",), f"no policy declares the role '{unknown[0]}'", f"declared are: {known}")


def version_of(*parts: Any) -> str:
    """Twelve hex digits that another rule changes."""
    text = json.dumps(parts, default=asdict, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
