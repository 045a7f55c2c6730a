"""What an operator may set: one TOML file, each key overridable by a GPGPU_ORACLE_* environment variable."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import Field, IPvAnyNetwork, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from protocol.errors import BadInput

MIB = 1 << 20
GIB = 1 << 30
DATABASES = ("sqlite:///", "postgresql://", "postgresql+psycopg://")

Positive = Annotated[int, Field(gt=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """Built once, in `__main__`, and passed on."""

    model_config = SettingsConfigDict(env_prefix="GPGPU_ORACLE_", extra="forbid", frozen=True)

    rpc_url: str
    rpc_urls: tuple[str, ...] = ()
    """Further nodes of the same chain: each watches the others, and is asked where those before it fail."""
    heads_url: Annotated[str, Field(pattern="^(wss?://.+)?$")] = ""
    """WebSocket address of a node whose new heads wake the watcher; empty: it looks every `poll_seconds`."""
    chain_id: Positive
    manifest: Path
    data_dir: Path
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Zero: the system chooses, and the log's `listening` line says which."""
    database_url: str = ""
    """Empty: `store.sqlite` in `data_dir`. A PostgreSQL database may be shared by several oracles."""
    keystore: Path | None = None
    """V3 key file of the keeper. None: nobody's leases are settled by this oracle, anyone else may."""
    password_file: Path | None = None
    quorum_keystore: Path | None = None
    """V3 key file of this oracle's member of the quorum. None: it signs no findings."""
    quorum_password_file: Path | None = None
    quorum_peers: tuple[Annotated[str, Field(pattern="^https?://")], ...] = ()
    """URLs of the other members' oracles."""
    readers_file: Path | None = None
    """JSON list of what `gpgpu audit reader` prints: who may read TRACED and EXACT jobs that are sealed."""
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"

    confirmations: Annotated[int, Field(ge=0, le=10_000)] = 2
    """Blocks on top of the one that holds an event before it is acted upon; reading does not wait."""
    retained_blocks: Annotated[int, Field(ge=1, le=100_000)] = 256
    """A reorganisation deeper than this stops the oracle."""
    batch_blocks: Positive = 1000
    poll_seconds: PositiveSeconds = 1.0
    rpc_timeout_seconds: PositiveSeconds = 10.0
    keeper_seconds: PositiveSeconds = 2.0
    keeper_replace_seconds: PositiveSeconds = 30.0
    keeper_max_fee_wei: Positive = 2 * 10**12
    """For one gas. What needs more waits."""
    keeper_spend_cap_wei: Positive | None = None
    """Native coin in 24 hours. What would exceed it waits, in its order."""
    keeper_batch_gas: Positive = 6_000_000
    """Of one transaction that settles several leases, at most."""
    keeper_shared_key: bool = False
    """True: another program sends from the keeper's key too. False: the key is left alone once one does."""

    quorum_seconds: PositiveSeconds = 10.0
    quorum_timeout_seconds: PositiveSeconds = 10.0
    """For a peer's answer."""
    outage_seconds: Positive = 120
    """Scheduled seconds without a heartbeat after which a worker is said to be gone."""

    public_url: Annotated[str, Field(pattern=r"^(https?://[^/?#\s]+)?$")] = ""
    """Scheme, host and port under which people reach the API: what they sign when they sign in.

    Empty: the address that it listens on.
    """
    session_seconds: Positive = 3600
    sign_in_seconds: Positive = 300
    """From the nonce to the signed message."""
    max_sign_in_nonces: Positive = 100_000
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Whose X-Forwarded-For is believed."""
    address_requests_per_second: PositiveSeconds = 200.0
    address_burst: Positive = 1000
    account_requests_per_second: PositiveSeconds = 100.0
    account_burst: Positive = 1000
    """Both for each process."""
    max_streams: Positive = 512
    max_streams_per_account: Positive = 16
    stalled_reader_seconds: PositiveSeconds = 60.0
    """A connection whose peer takes nothing for so long is cut."""
    metrics_networks: tuple[IPvAnyNetwork, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    """Who may read /metrics without a token; not through a proxy that is not trusted."""
    metrics_token_file: Path | None = None
    ready_lag_blocks: Positive = 20
    """How far the index may be behind the chain's head while the oracle calls itself ready."""

    worker_timeout_seconds: PositiveSeconds = 60.0
    desired_seconds: PositiveSeconds = 5.0
    dispatch_seconds: PositiveSeconds = 1.0
    accept_timeout_seconds: Positive = 60
    """An attempt that its worker has not taken up for so long is given up, and the job queued again."""
    prepare_timeout_seconds: Positive = 3600
    """As above, from when it was taken up to when it runs: bundle and data are fetched."""
    run_grace_seconds: Positive = 600
    """As above, from what the order allows to when the run's outputs are packed."""
    upload_timeout_seconds: Positive = 3600
    cancel_timeout_seconds: Positive = 120
    """A job whose renter wants it stopped counts as cancelled after so long without a receipt."""
    max_attempts: Positive = 20
    """Of one job, whatever they end with; then it is abandoned."""
    duty_seconds: Annotated[float, Field(ge=1)] = 10.0
    """Oracles that share a database: after so long without a sign of one, others do its work."""
    hello_timeout_seconds: PositiveSeconds = 10.0
    max_unidentified_links: Positive = 64

    max_body_bytes: Positive = MIB
    max_batch_bytes: Positive = 4 * MIB
    """Of many orders at once."""
    max_artifact_bytes: Positive = 8 * GIB
    max_evidence_bytes: Positive = 64 * MIB
    account_quota_bytes: Positive = 64 * GIB
    newcomer_quota_bytes: Positive = GIB
    """Each, for accounts that have neither a lease nor a unit: a renter uploads before it pays."""
    newcomers_quota_bytes: Positive = 16 * GIB
    """Together, for those accounts: keys cost nothing, disks do."""
    max_uploads: Positive = 16
    upload_idle_seconds: PositiveSeconds = 30.0
    """Without a byte of a request's body."""
    upload_expiry_seconds: Positive = 86_400
    """Without a piece of a resumable upload."""
    upload_piece_bytes: Positive = 16 * MIB
    max_account_uploads: Positive = 64
    artifact_url: str = ""
    """Such as s3://BUCKET/PREFIX. Empty: `artifacts` in `data_dir`, which other oracles do not see."""
    artifact_endpoint: str = ""
    """URL of an object store that is not Amazon's."""
    artifact_key: SecretStr | None = None
    artifact_secret: SecretStr | None = None
    """None: as AWS's own tools find their credentials, in the environment or of the machine's role."""
    housekeeping_seconds: PositiveSeconds = 60.0
    unused_artifact_seconds: Positive = 7 * 86_400
    """How long artifacts stay after the last upload, job, proof or dispute that needs them."""
    stray_sweep_seconds: Positive = 86_400
    max_orders_before_lease: Positive = 256
    """For each renter, orders whose lease is not indexed yet."""
    max_orders_before_lease_total: Positive = 10_000
    orphan_order_seconds: Positive = 3600
    """An order whose lease never appears is abandoned after so long."""
    max_jobs_per_lease: Positive = 10_000
    max_signed_offers_per_provider: Positive = 1000
    max_quote_requests: Positive = 8
    """For each renter, requests for quotes that are open at a time."""
    max_quote_requests_total: Positive = 1000

    @model_validator(mode="after")
    def check(self) -> Settings:
        if (self.keystore is None) != (self.password_file is None):
            raise ValueError("keystore and password_file are given together or not at all")
        if (self.quorum_keystore is None) != (self.quorum_password_file is None):
            raise ValueError("quorum_keystore and quorum_password_file are given together or not at all")
        if self.quorum_peers and self.quorum_keystore is None:
            raise ValueError("quorum_peers are asked with the key of quorum_keystore, none is given")
        if (self.artifact_key is None) != (self.artifact_secret is None):
            raise ValueError("artifact_key and artifact_secret are given together or not at all")
        if self.database_url and not self.database_url.startswith(DATABASES):
            scheme = self.database_url.split(":")[0]
            raise ValueError(f"database_url: expected one of {', '.join(DATABASES)}, got {scheme!r}")
        return self

    @property
    def all_rpc_urls(self) -> tuple[str, ...]:
        return (self.rpc_url, *self.rpc_urls)

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'store.sqlite'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))


def load_settings(path: Path | None) -> Settings:
    """The file's keys under the environment's. Raises BadInput that names each wrong key, never its value."""
    if path is not None and not path.is_file():
        raise BadInput(f"settings: expected a TOML file, got {path}")

    class FileSettings(Settings):
        model_config = SettingsConfigDict(toml_file=path)

    try:
        return FileSettings()  # type: ignore[call-arg]
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise BadInput(f"settings: {wrong}") from None
    except ValueError as error:  # not TOML
        raise BadInput(f"settings: {path} is not TOML: {error}") from None
