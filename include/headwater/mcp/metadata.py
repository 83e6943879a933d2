"""The metadata server: whose a dataset is, how fresh and good it is, how its schema came about, what words mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.model import Kind
from headwater.contracts.releases import releases
from headwater.mcp.data import Name, outcomes_told
from headwater.mcp.sidecar import Sidecar
from headwater.semantics.catalogue import offers
from headwater.serving.evidence import Evidence, LoadedTable
from headwater.serving.usage import Used, used


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose a dataset is, who may read it, how long it is kept, and how new it must be."""

    dataset: str
    owner: str
    domain: str
    version: str
    tags: list[str]
    roles: list[str]
    retention_days: dict[str, int]
    freshness_seconds: int | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Freshness:
    """Per table what it shows and whether that is stale; None where no load is on record."""

    tables: dict[str, LoadedTable | None]


@dataclass(frozen=True, slots=True)
class QualityTold:
    """The rules of a dataset, and what came of them the last time."""

    dataset: str
    passed: bool | None
    judged_at: str
    rules: list[dict[str, Any]]
    results: list[dict[str, Any]]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """One version: which fields came and which went with it."""

    version: str
    fields: int
    added: list[str]
    removed: list[str]


@dataclass(frozen=True, slots=True)
class SchemaHistory:
    """A topic's released schemas, the oldest first; of gold the contract's own version."""

    dataset: str
    versions: list[SchemaVersion]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the business and what it means: a metric, a dataset or a column."""

    term: str
    kind: str
    meaning: str
    where: str
    synonyms: list[str]


@dataclass(frozen=True, slots=True)
class Glossary:
    """The terms that fit."""

    terms: list[Term]


@dataclass(frozen=True, slots=True)
class Usage:
    """How often a dataset was asked in the last days, by surface and tool; nobody is named."""

    dataset: str
    days: int
    used: list[Used]
    evidence: Evidence


class Metadata:
    """The tools of this server."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self.tools = (
            self.get_ownership, self.get_freshness, self.get_quality, self.get_schema_history, self.search_glossary,
            self.get_usage,
        )  # fmt: skip

    def get_ownership(self, dataset: Name) -> Ownership:
        """Whose a dataset is, which roles may read it, how long it is kept, how new it must be."""
        with self._sidecar.asked("get_ownership") as asking:
            declared, table, _ = self._sidecar.dataset(asking, dataset)
            return Ownership(
                declared.name, declared.owner, declared.domain, declared.version, list(declared.tags),
                list(declared.roles), dict(declared.retention_days),
                declared.freshness_seconds or declared.latency_seconds, self._sidecar.evidence(asking, [table]),
            )  # fmt: skip

    def get_freshness(
        self, dataset: Annotated[str, Field(description="a dataset's name; empty for all of them")] = ""
    ) -> Freshness:
        """When the tables were loaded, which Iceberg snapshot they show, and whether that is stale by contract."""
        with self._sidecar.asked("get_freshness") as asking:
            views = asking.caller.role.views.values()
            tables = [self._sidecar.dataset(asking, dataset)[1]] if dataset else sorted(view.table for view in views)
            return Freshness(dict(self._sidecar.evidence(asking, tables).tables))

    def get_quality(self, dataset: Name) -> QualityTold:
        """The quality rules of a dataset and their last results; what was found only for who sees all of it."""
        with self._sidecar.asked("get_quality") as asking:
            declared, table, view = self._sidecar.dataset(asking, dataset)
            evidence = self._sidecar.evidence(asking, [table])
            shown = evidence.tables[table]
            quality = shown.quality if shown else None
            rules = [
                {"name": rule.name, "severity": str(rule.severity), "on": "rows"} for rule in declared.row_rules
            ] + [{"name": rule.name, "severity": str(rule.severity), "on": "table"} for rule in declared.table_rules]
            return QualityTold(
                declared.name, quality.passed if quality else None, quality.judged_at if quality else "", rules,
                outcomes_told(self._sidecar.shown.outcomes(declared.name), view), evidence,
            )  # fmt: skip

    def get_schema_history(self, dataset: Name) -> SchemaHistory:
        """Which columns came and went with which version."""
        with self._sidecar.asked("get_schema_history") as asking:
            declared, table, _ = self._sidecar.dataset(asking, dataset)
            evidence = self._sidecar.evidence(asking, [table])
            if declared.kind is Kind.MODEL:
                versions = [SchemaVersion(declared.version, len(declared.columns), [], [])]
                return SchemaHistory(declared.name, versions, evidence)
            found: list[SchemaVersion] = []
            before: set[str] = set()
            for release in releases(declared, self._sidecar.settings.avro_dir):
                names = {field["name"] for field in release.schema["fields"]}
                added = sorted(names - before) if before else []
                found.append(SchemaVersion(f"v{release.version}", len(names), added, sorted(before - names)))
                before = names
            return SchemaHistory(declared.name, found, evidence)

    def search_glossary(
        self, text: Annotated[str, Field(description="a word of the business, e.g. turnover", max_length=100)]
    ) -> Glossary:
        """What a word means here: metrics with their synonyms, datasets, columns."""
        with self._sidecar.asked("search_glossary") as asking:
            role, word = asking.caller.role, text.lower().strip()
            terms = [
                Term(m.label, "metric", f"{m.description} ({m.unit})", m.name, list(m.synonyms))
                for m in (one.metric for one in offers(self._sidecar.contracts, role).values())
            ]
            for name, view in sorted(role.views.items()):
                declared = self._sidecar.contracts.datasets[name]
                terms.append(Term(declared.business_name or name, "dataset", declared.description, view.table, []))
                terms += [
                    Term(column.name, "column", column.description, f"{view.table}.{column.name}", [])
                    for column in declared.columns
                    if column.name in view.masks and column.description
                ]
            fits = [t for t in terms if word in f"{t.term} {t.meaning} {t.where} {' '.join(t.synonyms)}".lower()]
            exact = sorted(fits, key=lambda t: word not in (t.term.lower(), t.where, *t.synonyms))
            return Glossary(exact[:30])

    def get_usage(
        self,
        dataset: Name,
        days: Annotated[int, Field(description="how far back, 1 to 90", ge=1, le=90)] = 7,
    ) -> Usage:
        """How often a dataset was asked, by surface and tool, from the audit trail; nobody is named."""
        with self._sidecar.asked("get_usage") as asking:
            declared, table, _ = self._sidecar.dataset(asking, dataset)
            counts = used(self._sidecar.settings, declared.name, days)
            return Usage(declared.name, days, counts, self._sidecar.evidence(asking, [table]))
