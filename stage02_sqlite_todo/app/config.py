"""The settings: read from the environment, then from `.env`, else the default written here."""

from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.exceptions import StartupError


class Settings(BaseSettings):
    """One field a setting; its name in upper case is the environment variable's."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        hide_input_in_errors=True,  # a wrong value is not printed: it may be a secret
        allow_inf_nan=False,  # to wait for an endless time is to hang
    )

    environment: Literal["development", "production"] = "development"

    database_url: str = "sqlite+aiosqlite:///./todo.db"
    database_busy_timeout: float = Field(default=5, ge=0, le=60)  # seconds that a write waits


def load_settings() -> Settings:
    """Return the settings; raises `StartupError` that names those with a wrong value."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [f"{str(at['loc'][0]).upper()}: {at['msg']}" for at in error.errors()]
        raise StartupError("Wrong settings. " + "; ".join(problems)) from error
