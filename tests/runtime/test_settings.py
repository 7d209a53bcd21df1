"""Settings: defaults, parsing, refusals that name the variable and don't show secrets."""

import base64
from decimal import Decimal
from pathlib import Path

import pytest

from runtime.settings import PREFIX, RateLimit, Settings, SettingsError, load_settings, settings_table

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in settings_table():
        monkeypatch.delenv(row.variable, raising=False)


class TestDefaults:
    def test_need_nothing(self) -> None:
        settings = load_settings()
        assert settings.api_url == "http://127.0.0.1:8000"
        assert settings.data_dir == Path(".data")
        assert settings.temporal_target == "127.0.0.1:7233"
        assert settings.bucket == RateLimit(Decimal(1000), 3000)
        assert settings.worker_processes >= 1
        assert settings.demo
        assert not settings.test_clock

    def test_empty_variables_count_as_unset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENSCRIP_BOOTSTRAP_API_KEY", "")
        monkeypatch.setenv("OPENSCRIP_RATE_LIMIT", "")
        assert load_settings().bootstrap_api_key is None
        assert load_settings().bucket is not None

    def test_what_has_no_default_is_asked_for_by_name(self) -> None:
        with pytest.raises(SettingsError, match="OPENSCRIP_DATABASE_URL"):
            load_settings().require_database_url()
        with pytest.raises(SettingsError, match="OPENSCRIP_SECRET_KEY"):
            load_settings().require_secret_key()


class TestValues:
    @pytest.mark.parametrize(
        ("variable", "value", "attribute", "expected"),
        [
            ("API_PORT", "9001", "api_port", 9001),
            ("DATA_DIR", "/srv/openscrip", "data_dir", Path("/srv/openscrip")),
            ("TEMPORAL_ADDRESS", "temporal:7233", "temporal_target", "temporal:7233"),
            ("TEMPORAL_PORT", "7300", "temporal_target", "127.0.0.1:7300"),
            ("TEST_CLOCK", "1", "test_clock", True),
            ("DEMO", "0", "demo", False),
            ("LANES", "32", "lanes", 32),
            ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
            ("RATE_LIMIT", "off", "bucket", None),
            ("RATE_LIMIT", "0.5/30", "bucket", RateLimit(Decimal("0.5"), 30)),
            ("API_HOST", "0.0.0.0", "api_url", "http://127.0.0.1:8000"),
        ],
    )
    def test_are_read(self, variable: str, value: str, attribute: str, expected: object, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(PREFIX + variable, value)
        assert getattr(load_settings(), attribute) == expected

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("API_PORT", "70000"),
            ("LANES", "0"),
            ("RATE_LIMIT", "10"),
            ("RATE_LIMIT", "0/10"),
            ("SECRET_KEY", "c2hvcnQ="),
            ("SECRET_KEY", "not base64"),
            ("BOOTSTRAP_API_KEY", "key"),
            ("LOG_FORMAT", "xml"),
        ],
    )
    def test_are_refused_by_name(self, variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(PREFIX + variable, value)
        with pytest.raises(SettingsError, match=PREFIX + variable):
            load_settings()

    def test_secret_key_is_decoded(self) -> None:
        assert Settings(secret_key=KEY).require_secret_key() == bytes(range(32))

    def test_migrations_use_their_own_database_url_when_there_is_one(self) -> None:
        settings = Settings(database_url="postgresql://app@db/x")
        assert settings.require_migration_database_url() == "postgresql://app@db/x"
        settings = Settings(database_url="postgresql://app@db/x", migration_database_url="postgresql://owner@db/x")
        assert settings.require_migration_database_url() == "postgresql://owner@db/x"


class TestSecrets:
    def test_do_not_show(self) -> None:
        settings = Settings(secret_key=KEY, bootstrap_api_key="sk_visible", database_url="postgresql://u:hidden@h/d")
        shown = f"{settings!r} {settings}"
        assert all(secret not in shown for secret in (KEY, "sk_visible", "hidden"))

    def test_do_not_show_in_refusals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENSCRIP_BOOTSTRAP_API_KEY", "wrong-but-secret")
        with pytest.raises(SettingsError) as refusal:
            load_settings()
        assert "wrong-but-secret" not in str(refusal.value)


class TestTable:
    def test_names_every_setting_once_with_its_meaning(self) -> None:
        rows = settings_table()
        assert len({row.variable for row in rows}) == len(rows) == len(Settings.model_fields)
        assert all(row.description for row in rows)
        assert ("OPENSCRIP_LANES", "8") in {(row.variable, row.default) for row in rows}
