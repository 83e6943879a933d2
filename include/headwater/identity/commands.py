"""`headwater identity`: people and service accounts, the groups that give them a role, their passwords and keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from headwater.audit.by_command import on_record
from headwater.console import Json, console, noun, say, table
from headwater.errors import TerminalError
from headwater.identity.kept_secrets import KeptSecrets, new_key
from headwater.identity.keys import IdentityKeys
from headwater.identity.store import Identity, IdentityStore
from headwater.policy.loader import attribute_fault, load_policy
from headwater.policy.model import Policy
from headwater.settings import get_settings

app = noun("People and service accounts, and the groups that give them a role.")
secrets = noun("Secrets that the platform keeps, encrypted.")
app.add_typer(secrets, name="secret")

Groups = Annotated[list[str] | None, typer.Option("--group", help="A group of schemas/policies; repeat.")]
Attributes = Annotated[list[str] | None, typer.Option("--attribute", help="stores=1,2; repeat for another.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Small letters, digits and . _ @ -")],
    group: Groups = None,
    attribute: Attributes = None,
    service: Annotated[bool, typer.Option("--service", help="A service account, no person.")] = False,
    keys_only: Annotated[bool, typer.Option("--keys-only", help="Without a password: it comes with API keys.")] = False,
    as_json: Json = False,
) -> None:
    """Add somebody; the password is read from standard input, or asked for at a terminal."""
    policy = load_policy()
    settings = get_settings()
    taken = (settings.clickhouse_user, settings.clickhouse_reader_user, settings.clickhouse_agent_user)
    if name in taken:
        raise TerminalError(f"'{name}' is a user of the settings", remedy="choose another name")
    groups, attributes = _groups(policy, group or []), _attributes(policy, attribute or [])
    policy.caller(name, groups, attributes)
    password = None if keys_only else _password()
    with _store() as store, on_record("identity.add", name):
        made = store.add(name, "service" if service else "person", groups, attributes, password)
    _tell(made, as_json)


@app.command("list")
def list_identities(as_json: Json = False) -> None:
    """Everybody, without their passwords."""
    with _store() as store:
        found = store.all()

    def show() -> None:
        rows = table("name", "kind", "groups", "attributes", "expires", "disabled")
        for one in found:
            attributes = "; ".join(f"{key}={','.join(map(str, values))}" for key, values in one.attributes.items())
            expires = f"{one.expires_at:%F %T}" if one.expires_at else ""
            disabled = f"{one.disabled_at:%F %T}" if one.disabled_at else ""
            rows.add_row(one.name, one.kind, ", ".join(one.groups), attributes, expires, disabled)
        console().print(rows)

    say(as_json, [asdict(one) for one in found], show)


@app.command("group")
def set_groups(
    name: Annotated[str, typer.Argument(help="Who.")],
    group: Groups = None,
    attribute: Attributes = None,
    no_attributes: Annotated[bool, typer.Option("--no-attributes", help="Take its own; those of groups hold.")] = False,
    as_json: Json = False,
) -> None:
    """Put somebody into these groups, instead of those before; with --attribute, give these attributes.

    Its own attributes go before those of its groups until --no-attributes takes them away.
    """
    if attribute and no_attributes:
        raise TerminalError("--attribute and --no-attributes contradict each other", remedy="leave one out")
    policy = load_policy()
    groups = _groups(policy, group or []) if group else None
    attributes = _attributes(policy, attribute or []) if attribute or no_attributes else None
    with _store() as store:
        before = store.get(name)
        policy.caller(name, before.groups if groups is None else groups)
        with on_record("identity.group", name):
            changed = store.change(name, groups=groups, attributes=attributes)
    _tell(changed, as_json)


@app.command()
def password(name: Annotated[str, typer.Argument(help="Whose.")], as_json: Json = False) -> None:
    """Set another password, from standard input or asked for at a terminal; the old one is refused from now on."""
    with _store() as store:
        store.get(name)
        given = _password()
        with on_record("identity.password", name):
            changed = store.set_password(name, given)
    _tell(changed, as_json)


@app.command()
def disable(name: Annotated[str, typer.Argument(help="Who.")], as_json: Json = False) -> None:
    """Refuse somebody from now on."""
    with _store() as store, on_record("identity.disable", name):
        changed = store.disable(name)
    say(as_json, asdict(changed), f"{name} is disabled")


@app.command("key")
def create_key(
    name: Annotated[str, typer.Argument(help="Whose.")],
    scope: Annotated[list[str], typer.Option("--scope", help="mcp:query, api:* or *; repeat.")],
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[int, typer.Option(min=1, help="It ends after so many.")] = 90,
    as_json: Json = False,
) -> None:
    """Make an API key for somebody; it is shown now and never again."""
    with _keys() as keys, on_record("identity.key", name):
        text, key = keys.create(name, label or name, scope, days)
    say(as_json, {"key": text, **asdict(key)}, text)


@app.command("keys")
def list_keys(
    name: Annotated[str, typer.Argument(help="Whose; everybody's without.")] = "", as_json: Json = False
) -> None:
    """The API keys of identities, without their secrets."""
    with _keys() as keys:
        found = keys.all(name or None)

    def show() -> None:
        rows = table("id", "owner", "for", "scopes", "expires", "revoked")
        for key in found:
            revoked = f"{key.revoked_at:%F %T}" if key.revoked_at else ""
            rows.add_row(key.key_id, key.owner, key.name, " ".join(key.scopes), f"{key.expires_at:%F %T}", revoked)
        console().print(rows)

    say(as_json, [asdict(key) for key in found], show)


@app.command("rotate")
def rotate_key(
    key_id: Annotated[str, typer.Argument(help="The key's id.")],
    days: Annotated[int, typer.Option(min=1, help="The new one ends after so many.")] = 90,
    overlap_hours: Annotated[int, typer.Option(min=0, help="The old one still holds for so long.")] = 24,
    as_json: Json = False,
) -> None:
    """Make a new key in place of one; both hold for a while."""
    with _keys() as keys, on_record("identity.rotate", key_id):
        text, key = keys.rotate(key_id, days, timedelta(hours=overlap_hours))
    say(as_json, {"key": text, **asdict(key)}, text)


@app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="The key's id.")], as_json: Json = False) -> None:
    """Have a key refused from now on."""
    with _keys() as keys, on_record("identity.revoke", key_id):
        key = keys.revoke(key_id)
    say(as_json, asdict(key), f"{key.key_id} of {key.owner} is revoked")


@secrets.command("set")
def set_secret(name: Annotated[str, typer.Argument(help="What it is called.")], as_json: Json = False) -> None:
    """Keep a secret, encrypted; it is read from standard input, or asked for at a terminal."""
    given = _password("Secret")
    with KeptSecrets(get_settings()) as kept, on_record("identity.secret.set", name):
        kept.put(name, given)
    say(as_json, {"name": name}, f"{name} is kept")


@secrets.command("list")
def list_secrets(as_json: Json = False) -> None:
    """What is kept, without the secrets, and how many keys old each is."""
    with KeptSecrets(get_settings()) as kept:
        found = kept.all()

    def show() -> None:
        rows = table("name", "changed", "key")
        for one in found:
            rows.add_row(one.name, f"{one.changed_at:%F %T}", one.by)
        console().print(rows)

    say(as_json, [asdict(one) for one in found], show)


@secrets.command("rotate")
def rotate_secrets(as_json: Json = False) -> None:
    """Encrypt all secrets with the first key of HEADWATER_SECRET_KEYS; the others may be taken out after that."""
    with KeptSecrets(get_settings()) as kept, on_record("identity.secret.rotate"):
        count = kept.rotate()
    say(as_json, {"rotated": count}, f"{count} secrets are encrypted with the newest key")


@secrets.command("remove")
def remove_secret(name: Annotated[str, typer.Argument(help="Which.")], as_json: Json = False) -> None:
    """Forget a secret."""
    with KeptSecrets(get_settings()) as kept, on_record("identity.secret.remove", name):
        kept.remove(name)
    say(as_json, {"name": name}, f"{name} is forgotten")


@secrets.command("new-key")
def new_secret_key(as_json: Json = False) -> None:
    """A new key, to be put in front of the others in HEADWATER_SECRET_KEYS."""
    key = new_key()
    say(as_json, {"key": key}, key)


def _tell(identity: Identity, as_json: bool) -> None:
    policy = load_policy()
    role = policy.caller(identity.name, identity.groups).role.name
    text = f"{identity.name} ({identity.kind}) is in {', '.join(identity.groups)} and so has the role {role}"
    say(as_json, {**asdict(identity), "role": role}, text)


def _groups(policy: Policy, groups: list[str]) -> list[str]:
    for group in groups:
        if group not in policy.groups:
            raise TerminalError(f"there is no group '{group}'", remedy=f"known are: {', '.join(policy.groups)}")
    return groups


def _attributes(policy: Policy, given: list[str]) -> dict[str, list[str | int]]:
    found: dict[str, list[str | int]] = {}
    for text in given:
        name, _, values = text.partition("=")
        if name not in policy.attributes:
            raise TerminalError(f"there is no attribute '{name}'", remedy=f"known are: {', '.join(policy.attributes)}")
        parts = [part.strip() for part in values.split(",") if part.strip()]
        whole = policy.attributes[name].type == "long" and all(part.lstrip("-").isdigit() for part in parts)
        found[name] = [int(part) for part in parts] if whole else list(parts)
        if fault := attribute_fault(name, found[name], policy.attributes):
            raise TerminalError(fault, remedy="write --attribute name=value,value")
    return found


def _password(what: str = "Password") -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\n")


@contextmanager
def _keys() -> Iterator[IdentityKeys]:
    with _store() as store:
        keys = IdentityKeys(get_settings(), store)
        try:
            yield keys
        finally:
            keys.close()


@contextmanager
def _store() -> Iterator[IdentityStore]:
    store = IdentityStore(get_settings())
    try:
        yield store
    finally:
        store.close()
