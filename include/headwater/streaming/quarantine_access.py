"""Who may look at the bytes in quarantine, or decide about them: whoever may read all of that dataset, plainly.

A record that could not be read has no columns, so no mask and no predicate can be laid over it. It is therefore for
those whose role sees every row of the dataset and every column as it is; a dataset that ClickHouse does not have is for
those whose role its contract names, and who see all that they see plainly. The role is that of the identity whose API
key or token `HEADWATER_CLI_CREDENTIAL` is, or else of the group `quarantine_group`, for the accounts of this host.
The policy is the one in force (ADR 16); without one, or without a ClickHouse to tell, nobody is let.
"""

from __future__ import annotations

from dataclasses import dataclass

from headwater.audit.by_command import account, denied
from headwater.contracts.model import Dataset
from headwater.errors import TerminalError
from headwater.identity.authenticating import Authenticated, Authenticator
from headwater.identity.store import Identity
from headwater.policy.applying import applied
from headwater.policy.decision import Decider, engine_of
from headwater.policy.in_force import NoPolicy
from headwater.policy.model import Policy, Role, Surface, View
from headwater.settings import Settings, get_settings
from headwater.warehouse.client import explained, reader

TOOL = "quarantine"


class NotForYou(TerminalError):
    """The policy does not let this identity look at the quarantine of this dataset."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Who was let, for which purpose, by which policy: for the audit trail."""

    who: str
    purpose: str
    policy_version: str


def allowed(dataset: Dataset, verb: str, who: str = "") -> Allowed:
    """Who asks, where the policy lets it; `who` names the one for whom the account of this process acts.

    Raises `NotForYou` (on record), `NotAuthenticated`, `AuditUnavailable`, and as `in_force` does.
    """
    settings = get_settings()
    known = _who(settings, who or account())
    identity = known.identity
    policy = in_force()
    reason = ""
    caller = policy.caller(identity.name, identity.groups, identity.attributes)
    decider = Decider(policy, engine_of(settings, policy))
    decision = decider.decide(caller, Surface.CLICKHOUSE, TOOL, scopes=known.scopes, expires=known.expires)
    if not decision.allowed:
        reason = ", ".join(decision.reasons)
    elif not _whole(caller.role, dataset):
        reason = "dataset"
    if reason:
        tool = f"{TOOL}.{verb}"
        denied(tool, reason, who=identity.name, datasets=(dataset.name,), policy_version=policy.version)
        raise NotForYou(
            f"the role {caller.role.name} of {identity.name} does not see all of {dataset.name} plainly ({reason})",
            where=f"quarantine of {dataset.name}",
            remedy="HEADWATER_CLI_CREDENTIAL names another identity; `headwater policy explain` tells who sees what",
        )
    return Allowed(identity.name, caller.role.purposes[0], policy.version)


def in_force() -> Policy:
    """The policy in force. Raises `NoPolicy`, `WarehouseUnavailableError`, `ConfigurationError` for a broken one."""
    with explained("the policy in force"), reader() as client:
        found = applied(client)
    if found is None:
        raise NoPolicy("no policy is in force", remedy="`headwater policy apply`")
    return found


def _who(settings: Settings, name: str) -> Authenticated:
    credential = settings.cli_credential.get_secret_value()
    if not credential:
        return Authenticated(Identity(name, "person", (settings.quarantine_group,), {}), ("*",), "service")
    authenticator = Authenticator(settings)
    try:
        return authenticator.by_secret(None, credential)
    finally:
        authenticator.close()


def _whole(role: Role, dataset: Dataset) -> bool:
    if dataset.name in role.views:
        return _plain(role.views[dataset.name])
    return role.name in dataset.roles and all(_plain(view) for view in role.views.values())


def _plain(view: View) -> bool:
    return not view.masked and not view.rows
