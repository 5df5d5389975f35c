"""The settings. The environment takes precedence over `.env`, and `.env` over the defaults."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from celery.schedules import crontab
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.exceptions import StartupError

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
YEAR = 365 * 24 * 60 * 60  # seconds
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

    jwt_secret: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    access_token_ttl: int = Field(default=1800, ge=1, le=YEAR)  # seconds
    bcrypt_rounds: int = Field(default=12, ge=4, le=16)  # 16: four seconds for each hash

    media_dir: Path = Path("media")
    max_images_per_user: int = Field(default=1000, ge=1, le=1_000_000)

    redis_url: str = ""
    job_lease: float = Field(default=10, ge=1, le=3600)  # seconds that a worker may be silent
    job_retention: int = Field(default=7 * 24 * 60 * 60, ge=0, le=100 * YEAR)  # seconds
    job_cleanup_crontab: str = "*/10 * * * *"
    max_waiting_jobs_per_user: int = Field(default=1000, ge=1, le=100_000)
    max_job_streams_per_user: int = Field(default=10, ge=1, le=1000)  # in each process

    weather_cache_ttl: int = Field(default=600, ge=0, le=YEAR)  # seconds
    weather_timeout: float = Field(default=10, ge=0.1, le=60)  # seconds that a provider may take
    weather_timeout_pause: float = Field(default=10, ge=0, le=3600)  # seconds after a timeout
    weather_lookups_per_minute: int = Field(default=300, ge=1, le=1_000_000)
    openweathermap_api_key: SecretStr = SecretStr("")
    openweathermap_base_url: str = "https://api.openweathermap.org"
    open_meteo_base_url: str = "https://api.open-meteo.com"
    open_meteo_geocoding_base_url: str = "https://geocoding-api.open-meteo.com"

    first_admin_username: str = ""
    first_admin_password: SecretStr = SecretStr("")

    chat_allowed_origins: Annotated[list[str], NoDecode] = []
    chat_sockets_per_user: int = Field(default=20, ge=1, le=10_000)
    chat_heartbeat: float = Field(default=10, ge=0.1, le=3600)  # seconds

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
        # `port` raises a ValueError above 65535.
        if value and (not REDIS_URL.fullmatch(value) or urlsplit(value).port == 0):
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

    @field_validator("chat_allowed_origins", mode="before")
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

    def cleanup_schedule(self) -> crontab:
        """Return the schedule on which finished jobs are removed."""
        return crontab.from_string(self.job_cleanup_crontab)


def load_settings() -> Settings:
    """Return the settings; raises `StartupError`, which names the wrong ones."""
    try:
        settings = Settings()
    except ValidationError as error:
        problems = [f"{str(at['loc'][0]).upper()}: {at['msg']}" for at in error.errors()]
        raise StartupError("Wrong settings. " + "; ".join(problems)) from error
    secret = settings.jwt_secret.get_secret_value()
    can_be_guessed = secret == DEVELOPMENT_SECRET or len(secret.encode()) < MIN_SECRET_LENGTH
    if settings.environment == "production" and can_be_guessed:
        raise StartupError("Wrong settings. JWT_SECRET: production needs 32 random bytes or more")
    return settings
