"""Schema registry: a stream's subject, with its compatibility level and every released version."""

from __future__ import annotations

from headwater.contracts.compatibility import without_docs
from headwater.contracts.model import Dataset
from headwater.contracts.registry import COMPATIBILITY, RegistryClient
from headwater.contracts.releases import Release, newest_release, next_release, releases
from headwater.errors import ContractError
from headwater.settings import Settings


def plan_subject(settings: Settings, dataset: Dataset) -> list[str]:
    """What `apply_subject` would do.

    Raises `ContractError` where the contract has a schema that was not released yet, `RegistryUnavailableError`.
    """
    with RegistryClient(settings) as registry:
        return _plan(registry, settings, dataset)


def apply_subject(settings: Settings, dataset: Dataset) -> list[str]:
    """Set the compatibility and register what is missing, oldest first; says what was done, empty where nothing."""
    with RegistryClient(settings) as registry:
        planned = _plan(registry, settings, dataset)
        # The first version comes before the level: some registries know no level for a subject without versions.
        for release in _missing(registry, settings, dataset):
            registry.register(dataset.subject, release.schema)
        if registry.compatibility(dataset.subject) != COMPATIBILITY:
            registry.set_compatibility(dataset.subject)
    return planned


def _plan(registry: RegistryClient, settings: Settings, dataset: Dataset) -> list[str]:
    if next_release(dataset, settings.avro_dir) is not None:
        raise ContractError(
            f"the contract of {dataset.name} has a schema that was not released",
            where=str(dataset.path),
            remedy="run `headwater contract generate`, and commit what it writes",
        )
    subject = dataset.subject
    planned = [f"register {subject} v{r.version}" for r in _missing(registry, settings, dataset)]
    if registry.compatibility(subject) != COMPATIBILITY:
        planned.append(f"{subject}: set compatibility {COMPATIBILITY}")
    return planned


def _missing(registry: RegistryClient, settings: Settings, dataset: Dataset) -> list[Release]:
    newest_release(dataset, settings.avro_dir)
    registered = [without_docs(schema) for schema in registry.ids(dataset.subject).values()]
    return [r for r in releases(dataset, settings.avro_dir) if without_docs(r.schema) not in registered]
