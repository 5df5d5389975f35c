"""The settings. The environment takes precedence over `.env`, and `.env` over the defaults."""

from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.exceptions import StartupError


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


def load_settings() -> Settings:
    """Return the settings; raises `StartupError`, which names the wrong ones."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [f"{str(at['loc'][0]).upper()}: {at['msg']}" for at in error.errors()]
        raise StartupError("Wrong settings. " + "; ".join(problems)) from error
