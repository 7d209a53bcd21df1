"""What the stack of `openscrip up` keeps in its data directory, for the other commands on this machine."""

import base64
import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from runtime.cluster import write_private
from runtime.embedded import EmbeddedPostgres
from runtime.settings import SECRET_KEY_BYTES, Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent


def local_settings() -> Settings:
    """Return the settings, completed from the data directory of `openscrip up` where the environment is silent."""
    return completed(load_settings())


def completed(settings: Settings) -> Settings:
    """Fill in the embedded database and the kept secret key, where there are such."""
    found: dict[str, SecretStr] = {}
    server = EmbeddedPostgres(settings.data_dir, port=settings.postgres_port)
    if settings.database_url is None and server.load_password():
        found["database_url"] = SecretStr(server.dsn)
    kept = settings.data_dir / "secret.key"
    if settings.secret_key is None and kept.is_file():
        found["secret_key"] = SecretStr(kept.read_text().strip())
    return settings.model_copy(update=found)


def ensure_secrets(settings: Settings) -> tuple[str, str]:
    """Return the secret key and the demo API key, made and kept on the first run unless the settings have them."""
    new_key = base64.b64encode(secrets.token_bytes(SECRET_KEY_BYTES)).decode()
    secret_key = settings.secret_key.get_secret_value() if settings.secret_key else ""
    api_key = settings.bootstrap_api_key.get_secret_value() if settings.bootstrap_api_key else ""
    return (
        secret_key or _keep(settings.data_dir / "secret.key", new_key),
        api_key or _keep(settings.data_dir / "demo.key", f"sk_{secrets.token_urlsafe(32)}"),
    )


def _keep(file: Path, fresh: str) -> str:
    if not file.exists():
        write_private(file, fresh)
    return file.read_text().strip()


def environment(settings: Settings, secret_key: str, api_key: str) -> dict[str, str]:
    """Return the environment of the stack's own processes."""
    return os.environ | {
        "OPENSCRIP_DATA_DIR": str(settings.data_dir),
        "OPENSCRIP_DATABASE_URL": settings.require_database_url(),
        "OPENSCRIP_TEMPORAL_ADDRESS": settings.temporal_target,
        "OPENSCRIP_SECRET_KEY": secret_key,
        "OPENSCRIP_BOOTSTRAP_API_KEY": api_key,
        "PYTHONUNBUFFERED": "1",
    }
