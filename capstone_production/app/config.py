"""The settings. The environment takes precedence over `.env`, and `.env` over the defaults."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from celery.schedules import crontab
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from redis.connection import parse_url
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from app.exceptions import StartupError
from app.params import MAX_INTEGER

CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # half a surrogate: it was no UTF-8
# A host. A password, a port, a database number and options may be there, too.
REDIS_URL = re.compile(
    r"rediss?://([^/?#\s]*@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?(/[0-9]*)?(\?.*)?"
)
BASE_URL = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?")
# As browsers send it: without the default port of the scheme.
ORIGIN = re.compile(
    r"(?!https://.*:443$|http://.*:80$)"
    r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?"
)
RATE = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")
HOUR = 60 * 60  # seconds
YEAR = 365 * 24 * HOUR
MAX_CACHE = 2**40  # bytes
MIN_SECRET_LENGTH = 32  # bytes: HS256 is as strong as its key (RFC 7518, 3.2)
# python-jose refuses public keys as a secret: other people know them, and could sign tokens.
PUBLIC_KEY = re.compile(r"----[- ]BEGIN |ssh-(ed25519|rsa|dss)|ecdsa-sha2-nistp|-cert-v01@")
DEVELOPMENT_SECRET = "only-for-development-change-me-in-production"  # noqa: S105 - known to all


class Settings(BaseSettings):
    """Each field is a setting. Its name in upper case is the environment variable."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        hide_input_in_errors=True,  # a wrong value is not printed: it may be a secret
        allow_inf_nan=False,  # an infinite timeout would wait forever
    )

    environment: Literal["development", "production"] = "development"

    database_url: str = "sqlite+aiosqlite:///./todo.db"
    database_busy_timeout: float = Field(default=5, ge=0, le=60)  # seconds that a write waits
    # Of each process. All of them together must stay below PostgreSQL's max_connections.
    database_pool_size: int = Field(default=10, ge=1, le=1000)
    database_max_overflow: int = Field(default=5, ge=0, le=1000)
    # In seconds: the wait of a request for a connection, the lifetime of a connection, the time of
    # a statement, and the wait at the start for the database.
    database_pool_timeout: float = Field(default=5, ge=0.1, le=HOUR)
    database_pool_recycle: int = Field(default=1800, ge=1, le=YEAR)
    database_statement_timeout: float = Field(default=10, ge=0.1, le=HOUR)
    startup_wait: float = Field(default=30, ge=0, le=HOUR)

    jwt_secret: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    # They sign nothing. Tokens that they have signed stay valid while the secret is replaced.
    jwt_secret_fallbacks: Annotated[list[SecretStr], NoDecode] = []
    access_token_ttl: int = Field(default=1800, ge=1, le=YEAR)  # seconds
    refresh_token_ttl: int = Field(default=14 * 24 * 60 * 60, ge=1, le=YEAR)  # seconds
    rate_limit_auth: str = "10/minute"
    bcrypt_rounds: int = Field(default=12, ge=4, le=16)  # 16: four seconds for each hash

    media_dir: Path = Path("media")
    max_images_per_user: int = Field(default=1000, ge=1, le=1_000_000)

    redis_url: str = ""
    redis_pool_size: int = Field(default=20, ge=1, le=1000)  # of each process
    # Seconds: the maximum age of a value.
    cache_l1_ttl: float = Field(default=5, ge=0, le=HOUR)
    cache_l1_size: int = Field(default=64 * 1024 * 1024, ge=0, le=MAX_CACHE)  # bytes, of a process
    cache_l2_ttl: int = Field(default=300, ge=1, le=YEAR)  # seconds
    job_lease: float = Field(default=10, ge=1, le=3600)  # seconds that a worker may be silent
    job_retention: int = Field(default=7 * 24 * 60 * 60, ge=0, le=100 * YEAR)  # seconds
    job_cleanup_crontab: str = "*/10 * * * *"
    max_waiting_jobs_per_user: int = Field(default=1000, ge=1, le=100_000)
    max_job_streams_per_user: int = Field(default=10, ge=1, le=1000)  # in each process

    max_todos_per_user: int = Field(default=10_000, ge=1, le=MAX_INTEGER)
    # Deleted posts and comments count, because they can be restored.
    max_posts_per_user: int = Field(default=10_000, ge=1, le=MAX_INTEGER)
    max_comments_per_user: int = Field(default=100_000, ge=1, le=MAX_INTEGER)

    weather_cache_ttl: int = Field(default=600, ge=0, le=YEAR)  # seconds
    weather_timeout: float = Field(default=10, ge=0.1, le=60)  # seconds that a provider may take
    weather_timeout_pause: float = Field(default=10, ge=0, le=3600)  # seconds after a timeout
    weather_lookups_per_minute: int = Field(default=300, ge=1, le=1_000_000)  # of each process
    rate_limit_weather: str = "100/minute"
    openweathermap_api_key: SecretStr = SecretStr("")
    openweathermap_base_url: str = "https://api.openweathermap.org"
    open_meteo_base_url: str = "https://api.open-meteo.com"
    open_meteo_geocoding_base_url: str = "https://geocoding-api.open-meteo.com"

    first_admin_username: str = ""
    first_admin_password: SecretStr = SecretStr("")

    chat_allowed_origins: Annotated[list[str], NoDecode] = []
    chat_sockets_per_user: int = Field(default=20, ge=1, le=10_000)
    chat_heartbeat: float = Field(default=10, ge=0.1, le=3600)  # seconds

    cors_origins: Annotated[list[str], NoDecode] = []
    docs_enabled: bool = True
    log_format: Literal["json", "console"] = "console"
    worker_metrics_port: int = Field(default=0, ge=0, le=65535)  # 0: a worker serves no metrics
    drain_seconds: float = Field(default=0, ge=0, le=15)  # from SIGTERM to no new connections
    stuck_after: float = Field(default=0, ge=0, le=HOUR)  # seconds; 0: a stuck process is not ended
    heartbeat_file: Path | None = None  # a healthy worker, or beat, touches it

    @field_validator("*", mode="before")
    @classmethod
    def check_text(cls, value: object) -> object:
        """Return the value when it is text in UTF-8 on one line; raises `ValueError`."""
        if isinstance(value, str) and CONTROL.search(value):
            raise ValueError("Input should be text in UTF-8 without control characters")
        return value

    @field_validator("database_url")
    @classmethod
    def check_database_url(cls, value: str) -> str:
        """Return the URL of a supported database; raises `ValueError`."""
        try:
            driver = make_url(value).drivername
        except (ArgumentError, ValueError):  # ValueError: the port is not a number
            driver = ""
        if driver not in ("sqlite+aiosqlite", "postgresql+asyncpg"):
            raise ValueError(
                "Input should be like sqlite+aiosqlite:///./todo.db"
                " or postgresql+asyncpg://user:password@127.0.0.1:5432/todos"
            )
        return value

    @field_validator("jwt_secret_fallbacks", mode="before")
    @classmethod
    def split_secrets(cls, value: object) -> object:
        """Split a text at its commas into a list; a secret may contain spaces."""
        if not isinstance(value, str):
            return value
        return [secret for each in value.split(",") if (secret := each.strip())]

    @field_validator("jwt_secret_fallbacks")
    @classmethod
    def check_jwt_secret_fallbacks(cls, value: list[SecretStr]) -> list[SecretStr]:
        """Return the value when each can sign tokens; raises `ValueError`."""
        return [cls.check_jwt_secret(secret) for secret in value]

    @field_validator("jwt_secret")
    @classmethod
    def check_jwt_secret(cls, value: SecretStr) -> SecretStr:
        """Return the value when it can sign tokens; raises `ValueError`."""
        if PUBLIC_KEY.search(value.get_secret_value()):
            raise ValueError("Input should not look like a public key or a certificate")
        return value

    @field_validator("redis_url")
    @classmethod
    def check_redis_url(cls, value: str) -> str:
        """Return the value when it is a URL of Redis, or empty; raises `ValueError`."""
        if value and not is_redis_url(value):
            raise ValueError(
                "Input should be like redis://:password@127.0.0.1:6379/0."
                " In the password write %2F for /, %23 for #, and %3F for ?"
            )
        return value

    @field_validator("job_cleanup_crontab")
    @classmethod
    def check_crontab(cls, value: str) -> str:
        """Return the value when it is a crontab with a next time; raises `ValueError`."""
        try:
            crontab.from_string(value).remaining_estimate(datetime.now(UTC))
        except Exception as error:
            raise ValueError("Input should be a crontab, such as */10 * * * *") from error
        return value

    @field_validator(
        "openweathermap_base_url", "open_meteo_base_url", "open_meteo_geocoding_base_url"
    )
    @classmethod
    def check_base_url(cls, value: str) -> str:
        """Return the value when it is a URL that a path can follow; raises `ValueError`."""
        if not BASE_URL.fullmatch(value):
            raise ValueError("Input should be like https://api.example.org")
        return value

    @field_validator("chat_allowed_origins", "cors_origins", mode="before")
    @classmethod
    def split_origins(cls, value: object) -> object:
        """Split a text with commas into a list."""
        return value.replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("chat_allowed_origins")
    @classmethod
    def check_origins(cls, value: list[str]) -> list[str]:
        """Return the value when each is an origin as a browser sends it; raises `ValueError`."""
        if not all(ORIGIN.fullmatch(origin) for origin in value):
            raise ValueError(
                "Input should be origins, such as https://www.example.org or http://localhost:5173:"
                " in small letters, without a path and without :443 or :80"
            )
        return value

    @field_validator("cors_origins")
    @classmethod
    def check_cors_origins(cls, value: list[str]) -> list[str]:
        """Return the value when each is an origin, or * for all; raises `ValueError`."""
        cls.check_origins([origin for origin in value if origin != "*"])
        return value

    @field_validator("rate_limit_auth", "rate_limit_weather")
    @classmethod
    def check_rate(cls, value: str) -> str:
        """Return the value when it is a rate, or empty for none; raises `ValueError`."""
        if value and not RATE.fullmatch(value):
            raise ValueError("Input should be a rate, such as 10/minute, or empty")
        return value

    def jwt_secrets(self) -> list[str]:
        """Return the secrets whose tokens are valid, first the one that signs."""
        return [each.get_secret_value() for each in (self.jwt_secret, *self.jwt_secret_fallbacks)]

    def as_monitor(self) -> "Settings":
        """Return these settings with a single connection, for health checks and metrics."""
        few = {"database_pool_size": 1, "database_max_overflow": 0, "database_pool_timeout": 1}
        return self.model_copy(update=few)

    def cleanup_schedule(self) -> crontab:
        """Return the schedule on which finished jobs are removed."""
        return crontab.from_string(self.job_cleanup_crontab)


def is_redis_url(value: str) -> bool:
    """Return whether the text is a URL of Redis with options that the client knows."""
    try:
        parse_url(value)  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return REDIS_URL.fullmatch(value) is not None


def load_settings() -> Settings:
    """Return the settings; raises `StartupError`, which names the wrong ones."""
    try:
        settings = Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError("Wrong settings. .env: must be a readable text file") from error
    except ValidationError as error:
        problems = [f"{str(at['loc'][0]).upper()}: {at['msg']}" for at in error.errors()]
        raise StartupError("Wrong settings. " + "; ".join(problems)) from error
    if settings.environment == "production":
        signing, *others = map(can_be_guessed, settings.jwt_secrets())
        wrong = "JWT_SECRET" if signing else "JWT_SECRET_FALLBACKS" if any(others) else ""
        if wrong:
            raise StartupError(f"Wrong settings. {wrong}: production needs 32 random bytes or more")
    return settings


def can_be_guessed(secret: str) -> bool:
    """Return whether the secret is the public default, or too short."""
    return secret == DEVELOPMENT_SECRET or len(secret.encode()) < MIN_SECRET_LENGTH
