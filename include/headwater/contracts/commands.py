"""`headwater contract check|generate|plan|apply`: from the contracts to what the platform runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from headwater.console import Json, noun, say
from headwater.contracts import deploy
from headwater.contracts.deploy import Change, Target
from headwater.contracts.graph import model_inputs, model_path, pipeline_graph, render_graph
from headwater.contracts.loader import ContractErrors, load_contracts
from headwater.contracts.model import Dataset, Kind
from headwater.contracts.reference import reference_path, render_reference
from headwater.contracts.releases import next_release, release
from headwater.errors import ContractError
from headwater.settings import Settings, get_settings

app = noun("Check, plan, apply and generate from the contracts.")

Names = Annotated[list[str] | None, typer.Argument(help="Datasets; all where none is named.")]
Targets = Annotated[list[Target] | None, typer.Option("--target", help="Only this target (repeatable).")]


@app.command()
def check(names: Names = None, as_json: Json = False) -> None:
    """Judge all contracts, their released schemas and what was generated; exit 1 where something is wrong."""
    settings = get_settings()
    errors = _faults(settings, names)

    def tell() -> None:
        for error in errors:
            typer.secho("error: ", fg="red", nl=False, err=True)
            typer.echo(str(error), err=True)
        if not errors:
            typer.echo(f"{len(_chosen(names))} contracts are in order")

    say(as_json, {"errors": [_error_json(e) for e in errors]}, tell)
    if errors:
        raise typer.Exit(1)


def _faults(settings: Settings, names: list[str] | None) -> list[ContractError]:
    """Every fault: of the contracts, then (where they load) of releases and generated files."""
    try:
        datasets = _chosen(names)
    except ContractErrors as several:
        return several.errors
    except ContractError as error:
        return [error]
    found = [fault for d in datasets if d.kind is Kind.STREAM for fault in _release_faults(settings, d)]
    found += [fault for d in datasets if d.kind is Kind.MODEL for fault in _model_faults(settings, d)]
    try:
        for path, text in _generated(settings).items():
            if _text_of(path) != text:
                what, where = "the file is not what the contracts say", str(path.relative_to(settings.project_dir))
                found.append(ContractError(what, where=where, remedy="run `headwater contract generate`"))
    except ContractError as error:
        if str(error) not in map(str, found):
            found.append(error)
    return found


def _model_faults(settings: Settings, dataset: Dataset) -> list[ContractError]:
    """Whether the SQL of a gold model reads what its contract says, and nothing else."""
    try:
        path = model_path(dataset, settings.gold_models_dir)
    except ContractError as error:
        return [error]
    read = {table.partition(".")[2] for table in model_inputs(path.read_text(encoding="utf-8"))}
    what = [f"does not read '{name}', which `spread` names" for name in sorted(set(dataset.spread) - read)]
    what += [f"reads '{name}', which `spread` does not name" for name in sorted(read - set(dataset.spread))]
    remedy = f"make the model and `spread` of {dataset.path.name} say the same"
    return [ContractError(f"the model {w}", where=str(path), remedy=remedy) for w in what]


def _release_faults(settings: Settings, dataset: Dataset) -> list[ContractError]:
    try:
        new = next_release(dataset, settings.avro_dir)
    except ContractError as error:
        return [error]
    if new is None:
        return []
    what = f"the contract has a schema that was not released (it would be v{new.version})"
    return [ContractError(what, where=str(dataset.path), remedy="run `headwater contract generate`")]


@app.command()
def generate(names: Names = None, as_json: Json = False) -> None:
    """Release changed Avro schemas; write dags/graph.py and docs/reference/gold.md. Repeating changes nothing.

    A schema is released as schemas/avro/<dataset>/v<N>.avsc and never changes again.
    """
    settings = get_settings()
    streams = [d for d in _chosen(names) if d.kind is Kind.STREAM]
    for dataset in streams:  # all or none: a refused one must not leave the others released
        next_release(dataset, settings.avro_dir)
    written = [str(new.path) for d in streams if (new := release(d, settings.avro_dir))]
    for path, text in _generated(settings).items():
        if _text_of(path) != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(str(path))
    lines = [f"written {name}" for name in written] or ["nothing to write: all is as the contracts say"]
    say(as_json, {"written": written}, "\n".join(lines))


def _generated(settings: Settings) -> dict[Path, str]:
    """The files that follow from all contracts together, and what they should say."""
    contracts = load_contracts(settings.contracts_dir)
    graph = render_graph(pipeline_graph(contracts, settings.gold_models_dir))
    return {settings.project_dir / "dags" / "graph.py": graph, reference_path(settings): render_reference(contracts)}


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


@app.command()
def plan(names: Names = None, target: Targets = None, as_json: Json = False) -> None:
    """Say what `apply` would change; it changes nothing."""
    changes = deploy.plan(get_settings(), _chosen(names), target or tuple(Target))
    lines = [_line(change) for change in changes]
    say(as_json, _changes_json(changes), "\n".join([*lines, _total(changes, "would change")]))


@app.command()
def apply(
    names: Names = None,
    target: Targets = None,
    allow_destructive: Annotated[bool, typer.Option(help="Also do what loses data in the warehouse.")] = False,
    as_json: Json = False,
) -> None:
    """Bring topics, subjects, lake tables and warehouse tables up to the contracts. Repeating changes nothing."""
    chosen = target or tuple(Target)
    done = deploy.apply(get_settings(), _chosen(names), chosen, allow_destructive=allow_destructive)
    changes = []
    for change in done:
        changes.append(change)
        if not as_json:
            typer.echo(_line(change))
    say(as_json, _changes_json(changes), _total(changes, "changed"))


def _chosen(names: list[str] | None) -> list[Dataset]:
    contracts = load_contracts()
    return [contracts.get(n) for n in names] if names else [d for _, d in sorted(contracts.datasets.items())]


def _changes_json(changes: list[Change]) -> dict[str, Any]:
    return {"changes": [c.as_json() for c in changes]}


def _total(changes: list[Change], verb: str) -> str:
    return f"{len(changes)} {verb}" if changes else "nothing to change"


def _line(change: Change) -> str:
    first, *more = change.what.splitlines()
    mark = " (destroys)" if change.destroys else ""
    return f"{change.target:<9} {change.dataset:<24} {first}{' …' if more else ''}{mark}"


def _error_json(error: ContractError) -> dict[str, str]:
    return {"where": error.where, "what": error.what, "remedy": error.remedy}
