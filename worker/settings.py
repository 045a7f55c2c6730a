"""What a provider sets for one worker: a TOML file, overridden by GPGPU_WORKER_* in the environment."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, HttpUrl, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from protocol.errors import BadInput
from protocol.units import UnitId, hex_bytes
from protocol.weekly_hours import parse_hours
from worker.keys import FOLDER_NAME
from worker.quoting import Policy

PositiveSeconds = Annotated[float, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]


class Settings(BaseSettings):
    """Paths are taken relative to the working directory. Unknown keys are errors."""

    model_config = SettingsConfigDict(env_prefix="GPGPU_WORKER_", extra="forbid", frozen=True)

    rpc_url: HttpUrl
    chain_id: Annotated[int, Field(gt=0)]
    manifest: Path
    oracle_url: HttpUrl
    unit_id: str
    keystore: Path
    password_file: Path
    data_dir: Path
    key_dir: Path | None = None
    """Of the encryption keys that `python -m worker identify --key-dir` makes. None: `keys` in data_dir."""
    heartbeat_seconds: Annotated[float, Field(gt=0, le=30)] = 10
    proof_interval_seconds: PositiveSeconds = 3600
    poll_seconds: PositiveSeconds = 1
    """How often the chain is read."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    cpu_device: str = "0"
    """Tells several CPU devices of one host apart: a devnet runs more than one worker."""
    cpu_threads: Annotated[int, Field(ge=0)] = 0
    """Threads of OPAQUE jobs; 0: as many as there are cores. What must be reproducible computes with one."""
    min_free_disk_bytes: Annotated[int, Field(ge=0)] = 1 << 30
    """Jobs are stopped before the disk has less left."""
    max_artifact_bytes: Annotated[int, Field(gt=0)] = 16 << 30
    sandbox_uid: Annotated[int, Field(ge=1000)] = 62_000
    """The ordinary user that a worker started by root becomes before it opens a sandbox."""
    limit_tier: Literal["auto", "cgroup_v2", "cgroup_v1", "watchdog"] = "auto"
    offers_dir: Path | None = None
    """Signed offers of this unit that the oracle's book should show to everybody."""
    quotes_dir: Path | None = None
    """Signed offers of this unit of which renters that ask for quotes are shown one, by the keys below; None:
    no bids. Money in base units of the token, for the whole unit."""
    quote_floor_units_per_hour: Natural = 0
    quote_energy_units_per_kwh: Natural = 0
    quote_watts: Natural = 0
    """What the unit draws at work: with the price of energy it is added to the floor."""
    quote_hours: tuple[str, ...] = ()
    """Such as "mon-fri 18-24" (UTC); none: always."""
    quote_max_seconds: Annotated[int, Field(gt=0)] | None = None
    quote_classes: frozenset[str] = frozenset()
    """Classes of requests that are answered; none: any."""
    quote_discount_per_cent: Annotated[int, Field(ge=0, le=100)] = 0
    quote_discount_seconds: Natural = 0
    """Leases of at least so long are bid at the discount below the dearest offer that fits."""
    rpc_timeout_seconds: PositiveSeconds = 10
    http_timeout_seconds: PositiveSeconds = 60

    @field_validator("unit_id")
    @classmethod
    def _check_unit_id(cls, value: str) -> str:
        try:
            hex_bytes(value, 32, "unit_id")
        except BadInput as error:
            raise ValueError(error.message) from error
        return value

    @field_validator("quote_hours")
    @classmethod
    def _check_quote_hours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            parse_hours(value)
        except BadInput as error:
            raise ValueError(error.message) from error
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before the file, whose values come as arguments."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @property
    def unit(self) -> UnitId:
        return UnitId(hex_bytes(self.unit_id, 32, "unit_id"))

    @property
    def resolved_key_dir(self) -> Path:
        return self.key_dir or self.data_dir / FOLDER_NAME

    @property
    def sealed_paths(self) -> tuple[Path, ...]:
        """What no job may ever see."""
        offers = (path for path in (self.offers_dir, self.quotes_dir) if path is not None)
        return (self.data_dir, self.resolved_key_dir, self.keystore, self.password_file, *offers)

    @property
    def policy(self) -> Policy:
        return Policy(
            floor_units_per_hour=self.quote_floor_units_per_hour,
            energy_units_per_kwh=self.quote_energy_units_per_kwh,
            watts=self.quote_watts,
            max_seconds=self.quote_max_seconds,
            weekly_hours=parse_hours(self.quote_hours),
            gpu_classes=self.quote_classes,
            discount_per_cent=self.quote_discount_per_cent,
            discount_seconds=self.quote_discount_seconds,
        )


def load_settings(path: Path) -> Settings:
    """BadInput where the file cannot be read, or a value is missing, unknown or out of range."""
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"settings {path}: {error}") from error
    try:
        return Settings(**values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadInput(f"settings {path}: {problems}") from error
