"""Settings of what people, services and agents come to: policy, identities, the audit trail, the API."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings


class SurfaceSettings(BaseSettings):
    """A part of `headwater.settings.Settings`, which says where values come from."""

    # --- the policy
    opa_url: str = Field(default="", description="An OPA server that decides; empty: decision.rego in this process")

    # --- identities: tokens (JWT) of an OpenID provider, and what surfaces tell ClickHouse about who asks
    oidc_issuer: str = Field(default="", description="`iss` of tokens that are taken; empty: none is")
    oidc_audience: str = Field(default="headwater", description="`aud` that a token must have")
    oidc_jwks_url: str = Field(default="", description="Its public keys; empty: what <issuer>/.well-known/… names")
    oidc_name_claim: str = Field(default="sub", description="Who it is; dots lead into nested claims")
    oidc_groups_claim: str = Field(default="groups", description="Groups; empty: those of the identity of that name")
    oidc_attributes_claim: str = Field(default="", description="Attributes; empty: those of the identity of that name")
    oidc_default_scopes: str = Field(default="", description="Scopes of a token that has none of Headwater's own")
    oidc_leeway_seconds: int = Field(default=30, ge=0, le=300, description="Clocks may differ by so much")
    oidc_keys_held_seconds: int = Field(default=300, ge=10, description="Public keys are fetched anew after so long")
    oidc_keys_stale_seconds: int = Field(default=3600, ge=0, description="They hold so long where that fails")
    surface_key: SecretStr = Field(default=SecretStr(""), description="With it a surface vouches for who asks it")
    secret_keys: SecretStr = Field(default=SecretStr(""), description="Fernet keys of kept secrets, the newest first")

    cli_credential: SecretStr = Field(default=SecretStr(""), description="API key or token of who runs commands")
    quarantine_group: str = Field(default="privacy", description="Group of this host's accounts at the quarantine")

    # --- the audit trail
    audit_signing_key: Path | None = Field(default=None, description="PEM, Ed25519; empty: <home>/audit/signing.pem")
    audit_checkpoint_seconds: float = Field(default=5.0, gt=0, description="Between two signed checkpoints at most")
    audit_checkpoint_entries: int = Field(default=1000, ge=1, description="Entries between two of them at most")

    # --- the ingestion API
    api_port: int = 0
    api_max_body_bytes: int = Field(default=5 * 1024**2, ge=1, le=8 * 1024**2, description="Longest body of a request")
    api_max_events: int = Field(default=10_000, ge=1, description="Events of one request")
    api_queue_events: int = Field(default=100_000, ge=1, description="Events that may wait for the broker at once")
    api_ack_seconds: float = Field(default=5.0, gt=0, description="The broker has this long to acknowledge an event")
    api_slow_seconds: float = Field(default=1.0, gt=0, description="An event unacknowledged so long: 429 for the next")

    # --- the API that reads
    api_cache_bytes: int = Field(default=64 * 1024**2, ge=0, description="Answers kept in the API's memory")
    api_cache_seconds: float = Field(default=300.0, gt=0, description="An answer is kept so long at most")
    api_cache_url: SecretStr = Field(
        default=SecretStr(""), description="redis://…: answers are kept there, for several"
    )
