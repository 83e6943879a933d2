"""The policy of the files put in force at the first start, for the services that serve: sidecar and API."""

from __future__ import annotations

import logging
import threading

from headwater.settings import Settings

log = logging.getLogger(__name__)
_TURN = threading.Lock()
"""Services start side by side, in one process."""


def ensure_policy(settings: Settings) -> None:
    """Put the policy of the files in force if none is yet: later changes are `headwater policy apply`'s.

    Only on the embedded endpoint: nobody's own server gets users and grants without being asked.
    """
    from headwater.audit.by_command import on_record
    from headwater.contracts.loader import load_contracts
    from headwater.identity.kept_secrets import mask_key
    from headwater.policy import applying
    from headwater.policy.loader import load_policy
    from headwater.warehouse.client import explained, writer

    with _TURN, explained("the policy's views"), writer() as client:
        if applying.applied(client) is not None:
            return
        if not applying.is_embedded(client):
            log.warning("no policy is in force on %s: `headwater policy apply`", settings.clickhouse_host)
            return
        contracts = load_contracts(settings.contracts_dir)
        policy = load_policy(settings.policies_dir, contracts)
        with on_record("policy.apply", policy.version, policy_version=policy.version):
            applying.apply(client, policy, contracts, embedded=True, mask_key=lambda: mask_key(settings))
