"""The settings: read from the environment, then from `.env`, else the default written here."""

from pathlib import Path
from typing import Annotated, Literal

from celery.schedules import crontab
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import StartupError

MAX_RETENTION = 100 * 365 * 24 * 60 * 60  # seconds
MIN_SECRET_LENGTH = 32  # bytes: HS256 is as strong as its key (RFC 7518, 3.2)
DEVELOPMENT_SECRET = "only-for-development-change-me-in-production"  # noqa: S105 - known to all


class Settings(BaseSettings):
    """One field a setting; its name in upper case is the environment variable's."""

    # A wrong value is not printed: it may be a secret.
    model_config = SettingsConfigDict(env_file=".env", extra="ignore", hide_input_in_errors=True)

    environment: Literal["development", "production"] = "development"

    database_url: str = "sqlite+aiosqlite:///./todo.db"
    database_busy_timeout: float = Field(default=5, ge=0, le=60)  # seconds that a write waits

    jwt_secret: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    access_token_ttl: int = Field(default=1800, ge=1)  # seconds
    bcrypt_rounds: int = Field(default=12, ge=4, le=20)

    media_dir: Path = Path("media")
    max_images_per_user: int = Field(default=1000, ge=1)

    redis_url: str = Field(default="", pattern=r"^$|^rediss?://")
    job_lease: float = Field(default=10, ge=1, le=3600)  # seconds that a worker may be silent
    job_retention: int = Field(default=7 * 24 * 60 * 60, ge=0, le=MAX_RETENTION)  # seconds
    job_cleanup_crontab: str = "*/10 * * * *"
    max_waiting_jobs_per_user: int = Field(default=1000, ge=1, le=100_000)
    max_job_streams_per_user: int = Field(default=10, ge=1, le=1000)  # in each process

    weather_cache_ttl: int = Field(default=600, ge=0)  # seconds
    weather_timeout: float = Field(default=10, gt=0, le=60)  # seconds that a provider may take
    openweathermap_api_key: SecretStr = SecretStr("")
    openweathermap_base_url: str = "https://api.openweathermap.org"
    open_meteo_base_url: str = "https://api.open-meteo.com"
    open_meteo_geocoding_base_url: str = "https://geocoding-api.open-meteo.com"

    first_admin_username: str = ""
    first_admin_password: SecretStr = SecretStr("")

    chat_allowed_origins: Annotated[list[str], NoDecode] = []

    @field_validator("chat_allowed_origins", mode="before")
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
