"""Every setting of OpenScrip: one class, read once from the environment (`OPENSCRIP_*`)."""

import base64
import binascii
import os
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "OPENSCRIP_"
SECRET_KEY_BYTES = 32
RATE_LIMIT_PATTERN = re.compile(r"(?P<rate>\d+(\.\d+)?)/(?P<burst>\d+)")


class SettingsError(Exception):
    """A setting is missing or wrong; the message names its environment variable."""


class SettingRow(NamedTuple):
    """One line of the table of settings."""

    variable: str
    default: str
    description: str


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket: `rate` tokens a second, at most `burst` of them."""

    rate: Decimal
    burst: int


class Settings(BaseSettings):
    """Typed settings; secrets don't show in logs or tracebacks."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    api_host: str = Field(default="127.0.0.1", description="Address the API listens on")
    api_port: int = Field(default=8000, description="Port of the API", ge=1, le=65535)
    drain_seconds: float = Field(
        default=0.0,
        description="Seconds that an API serves on after SIGTERM, no longer ready, for load balancers to notice",
        ge=0,
    )
    data_dir: Path = Field(default=Path(".data"), description="Data, logs and secrets of `openscrip up`")

    database_url: SecretStr | None = Field(default=None, description="Postgres of the application; `up` runs its own when unset")
    migration_database_url: SecretStr | None = Field(
        default=None, description="Postgres as the schema's owner, for migrations; default: DATABASE_URL"
    )
    database_pool_size: int = Field(
        default=16, description="Database connections, request threads and activity slots of one process", ge=2, le=500
    )
    postgres_port: int = Field(default=54329, description="Port of the embedded Postgres", ge=1, le=65535)

    temporal_address: str | None = Field(
        default=None,
        description="host:port of Temporal; default: 127.0.0.1:TEMPORAL_PORT, which `up` starts when unset",
    )
    temporal_namespace: str = Field(default="default", description="Temporal namespace")
    temporal_tls: bool = Field(
        default=False, description="Connect to Temporal with TLS; implied by TEMPORAL_API_KEY and by any of the following"
    )
    temporal_tls_ca: Path | None = Field(default=None, description="PEM file with who signs Temporal's certificate")
    temporal_tls_cert: Path | None = Field(default=None, description="PEM file with our certificate, for mutual TLS")
    temporal_tls_key: Path | None = Field(default=None, description="PEM file with its private key")
    temporal_tls_server_name: str | None = Field(
        default=None, description="Name in Temporal's certificate, when it isn't the host of its address"
    )
    temporal_api_key: SecretStr | None = Field(default=None, description="API key of Temporal Cloud")
    temporal_encrypt: bool = Field(default=False, description="Encrypt workflow payloads with SECRET_KEY (AES-GCM)")
    temporal_port: int = Field(default=7233, description="Port of the embedded Temporal server", ge=1, le=65535)
    temporal_ui_port: int = Field(default=8233, description="Port of the embedded Temporal UI", ge=1, le=65535)

    worker_processes: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        description="Worker processes of `up`; default: number of cores",
        ge=1,
        le=256,
    )
    worker_deployment: str | None = Field(
        default=None, description="Name of Temporal's worker deployment; with WORKER_BUILD_ID it switches on worker versioning"
    )
    worker_build_id: str | None = Field(default=None, description="Build of the code in that deployment, for instance a release")
    lanes: int = Field(default=8, description="Event lanes; fixed by the first migration of a database", ge=1, le=256)
    worker_metrics_port: int = Field(
        default=0, description="Port of a worker's Prometheus metrics; 0 serves none", ge=0, le=65535
    )
    sweep_seconds: float = Field(default=5.0, description="Age in seconds at which waiting events wake their lane again", gt=0)
    redemption_timeout: float = Field(default=5.0, description="Seconds a redemption may take before the answer is 503", gt=0)

    secret_key: SecretStr | None = Field(
        default=None, description="32 bytes in base64; seals webhook secrets. `up` makes one, required otherwise"
    )
    bootstrap_api_key: SecretStr | None = Field(
        default=None, description="Creates the first organization with this key (sk_...) if absent"
    )
    rate_limit: str = Field(default="1000/3000", description="Requests per second and burst of an organization, or `off`")
    webhook_allow_private: bool = Field(
        default=False, description="Development only: webhooks to http, any port and private addresses"
    )
    test_clock: bool = Field(default=False, description="Opens /v1/test-clock, which moves the server's clock")
    demo: bool = Field(default=True, description="Walk through the quickstart on the first `up`")

    otlp_endpoint: str | None = Field(
        default=None,
        description="Base URL of an OpenTelemetry collector (OTLP over HTTP) that gets traces; also OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least severe level that is logged"
    )
    log_format: Literal["console", "json"] = Field(default="console", description="Log lines for people or for machines")

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        for one, other in (("temporal_tls_cert", "temporal_tls_key"), ("worker_deployment", "worker_build_id")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{PREFIX}{one.upper()} and {PREFIX}{other.upper()} must be set together")
        return self

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("rate_limit")
    @classmethod
    def _check_rate_limit(cls, value: str) -> str:
        parse_rate_limit(value)
        return value

    @field_validator("secret_key")
    @classmethod
    def _check_secret_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            decode_secret_key(value.get_secret_value())
        return value

    @field_validator("bootstrap_api_key")
    @classmethod
    def _check_bootstrap_api_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"sk_[!-~]{1,250}", value.get_secret_value()):
            raise ValueError("must be sk_ and visible characters")
        return value

    @property
    def temporal_target(self) -> str:
        """host:port of the Temporal frontend."""
        return self.temporal_address or f"127.0.0.1:{self.temporal_port}"

    @property
    def bucket(self) -> RateLimit | None:
        """The rate limit of an organization, None when it is off."""
        return parse_rate_limit(self.rate_limit)

    @property
    def api_url(self) -> str:
        """Where the API is reached from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.api_host, self.api_host)  # noqa: S104 - nothing is bound here
        return f"http://{host}:{self.api_port}"

    def require_database_url(self) -> str:
        """Return the application's database URL; SettingsError when unset."""
        return _require(self.database_url, "DATABASE_URL")

    def require_migration_database_url(self) -> str:
        """Return the schema owner's database URL, by default the application's."""
        return _require(self.migration_database_url or self.database_url, "DATABASE_URL")

    def require_secret_key(self) -> bytes:
        """Return the 32 bytes that seal webhook secrets; SettingsError when unset."""
        return decode_secret_key(_require(self.secret_key, "SECRET_KEY"))


def _require(value: SecretStr | None, name: str) -> str:
    if value is None:
        raise SettingsError(f"{PREFIX}{name} must be set")
    return value.get_secret_value()


def parse_rate_limit(text: str) -> RateLimit | None:
    """Parse `rate/burst` or `off`; ValueError otherwise."""
    if text == "off":
        return None
    match = RATE_LIMIT_PATTERN.fullmatch(text)
    if match is None or not Decimal(match["rate"]) or not int(match["burst"]):
        raise ValueError("must be rate/burst, for instance 10/30, or off")
    return RateLimit(Decimal(match["rate"]), int(match["burst"]))


def decode_secret_key(text: str) -> bytes:
    """Decode 32 bytes of base64; ValueError otherwise."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != SECRET_KEY_BYTES:
        raise ValueError(f"must be {SECRET_KEY_BYTES} bytes in base64")
    return key


def load_settings() -> Settings:
    """Read the environment; SettingsError with one line per faulty variable, without their values."""
    try:
        return Settings()
    except ValidationError as error:
        faults = [
            f"{PREFIX}{str(fault['loc'][0]).upper()}: {fault['msg']}" if fault["loc"] else fault["msg"]
            for fault in error.errors()
        ]
        raise SettingsError("\n".join(faults)) from None


@cache
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()


def settings_table() -> list[SettingRow]:
    """Return every setting with its default and meaning, in the order of the class."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default_factory or field.default is None else str(field.default)
        rows.append(SettingRow(PREFIX + name.upper(), default, field.description or ""))
    return rows
