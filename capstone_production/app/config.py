"""The settings: read from the environment, then from `.env`, else the default written here."""

import re
from pathlib import Path
from typing import Annotated, Literal

from celery.schedules import crontab
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import StartupError

MAX_RETENTION = 100 * 365 * 24 * 60 * 60  # seconds
ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?")
RATE = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")
MIN_SECRET_LENGTH = 32  # bytes: HS256 is as strong as its key (RFC 7518, 3.2)
DEVELOPMENT_SECRET = "only-for-development-change-me-in-production"  # noqa: S105 - known to all


class Settings(BaseSettings):
    """One field a setting; its name in upper case is the environment variable's."""

    # A wrong value is not printed: it may be a secret.
    model_config = SettingsConfigDict(env_file=".env", extra="ignore", hide_input_in_errors=True)

    environment: Literal["development", "production"] = "development"

    database_url: str = "sqlite+aiosqlite:///./todo.db"
    database_busy_timeout: float = Field(default=5, ge=0, le=60)  # seconds that a write waits
    # Of each process. All of them together must stay below PostgreSQL's max_connections.
    database_pool_size: int = Field(default=10, ge=1, le=1000)
    database_max_overflow: int = Field(default=5, ge=0, le=1000)
    database_pool_timeout: float = Field(default=5, gt=0)  # seconds that a request waits for one
    database_pool_recycle: int = Field(default=1800, ge=1)  # seconds that a connection is kept
    database_statement_timeout: float = Field(default=10, gt=0)  # seconds
    startup_wait: float = Field(default=30, ge=0)  # seconds for the database to come up

    jwt_secret: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    access_token_ttl: int = Field(default=1800, ge=1)  # seconds
    refresh_token_ttl: int = Field(default=14 * 24 * 60 * 60, ge=1)  # seconds
    rate_limit_auth: str = "10/minute"
    bcrypt_rounds: int = Field(default=12, ge=4, le=20)

    media_dir: Path = Path("media")
    max_images_per_user: int = Field(default=1000, ge=1)

    redis_url: str = Field(default="", pattern=r"^$|^rediss?://")
    redis_pool_size: int = Field(default=20, ge=1, le=1000)  # of each process
    cache_l1_ttl: float = Field(default=5, ge=0)  # seconds: how old an answer may get, at the worst
    cache_l1_size: int = Field(default=64 * 1024 * 1024, ge=0)  # bytes, of each process
    cache_l2_ttl: int = Field(default=300, ge=1)  # seconds
    job_lease: float = Field(default=10, ge=1, le=3600)  # seconds that a worker may be silent
    job_retention: int = Field(default=7 * 24 * 60 * 60, ge=0, le=MAX_RETENTION)  # seconds
    job_cleanup_crontab: str = "*/10 * * * *"
    max_waiting_jobs_per_user: int = Field(default=1000, ge=1, le=100_000)
    max_job_streams_per_user: int = Field(default=10, ge=1, le=1000)  # in each process

    max_todos_per_user: int = Field(default=10_000, ge=1)
    max_posts_per_user: int = Field(default=10_000, ge=1)  # deleted ones count, they can come back
    max_comments_per_user: int = Field(default=100_000, ge=1)  # … as above

    weather_cache_ttl: int = Field(default=600, ge=0)  # seconds
    weather_timeout: float = Field(default=10, gt=0, le=60)  # seconds that a provider may take
    weather_timeout_pause: float = Field(default=10, ge=0, le=3600)  # seconds after it took longer
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

    cors_origins: Annotated[list[str], NoDecode] = []
    docs_enabled: bool = True
    log_format: Literal["json", "console"] = "console"
    worker_metrics_port: int = Field(default=0, ge=0, le=65535)  # 0: a worker serves no metrics
    drain_seconds: float = Field(default=0, ge=0, le=15)  # between SIGTERM and the end of accepting
    stuck_after: float = Field(default=0, ge=0, le=3600)  # seconds; 0: a stuck process stays
    heartbeat_file: Path | None = None  # touched by a worker, and by beat, while they are well

    @field_validator("chat_allowed_origins", "cors_origins", mode="before")
    @classmethod
    def split_origins(cls, value: object) -> object:
        """Return the parts of a text with commas."""
        return value.replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("job_cleanup_crontab")
    @classmethod
    def check_crontab(cls, value: str) -> str:
        """Return the value when it is a crontab; raises `ValueError`."""
        try:
            crontab.from_string(value)
        except Exception as error:
            raise ValueError("Input should be a crontab, such as */10 * * * *") from error
        return value

    @field_validator("cors_origins")
    @classmethod
    def check_origins(cls, value: list[str]) -> list[str]:
        """Return the value when each is an origin as a browser sends it; raises `ValueError`."""
        if not all(origin == "*" or ORIGIN.fullmatch(origin) for origin in value):
            raise ValueError("Input should be origins, such as https://www.example.org, or *")
        return value

    @field_validator("rate_limit_auth", "rate_limit_weather")
    @classmethod
    def check_rate(cls, value: str) -> str:
        """Return the value when it is a rate, or empty for none; raises `ValueError`."""
        if value and not RATE.fullmatch(value):
            raise ValueError("Input should be a rate, such as 10/minute, or empty")
        return value

    def as_monitor(self) -> "Settings":
        """Return these settings with one connection to the database, for which nobody waits."""
        few = {"database_pool_size": 1, "database_max_overflow": 0, "database_pool_timeout": 1}
        return self.model_copy(update=few)

    def cleanup_schedule(self) -> crontab:
        """Return when finished jobs are removed."""
        return crontab.from_string(self.job_cleanup_crontab)


def load_settings() -> Settings:
    """Return the settings; raises `StartupError` that names those with a wrong value."""
    try:
        settings = Settings()
    except ValidationError as error:
        problems = [f"{str(at['loc'][0]).upper()}: {at['msg']}" for at in error.errors()]
        raise StartupError("Wrong settings. " + "; ".join(problems)) from error
    secret = settings.jwt_secret.get_secret_value()
    can_be_guessed = secret == DEVELOPMENT_SECRET or len(secret.encode()) < MIN_SECRET_LENGTH
    if settings.environment == "production" and can_be_guessed:
        raise StartupError("Wrong settings. JWT_SECRET: production needs a long one of its own")
    return settings
