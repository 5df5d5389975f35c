"""The schema of the weather in responses."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints


def single_spaces(text: str) -> str:
    """Return the text with single spaces between words, and with none at its ends."""
    return " ".join(text.split())


City = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    BeforeValidator(single_spaces),
    Query(description="The name of a city, in any language", examples=["London"]),
]


class Weather(BaseModel):
    """The weather in a city; times are in UTC."""

    # A provider's NaN is not a measurement. A cached answer must not change.
    model_config = ConfigDict(allow_inf_nan=False, frozen=True)

    city: str
    country: str | None  # ISO 3166-1 alpha-2; there is none at sea
    temperature: float  # °C
    feels_like: float  # °C
    humidity: float  # %
    wind_speed: float  # m/s
    description: str
    observed_at: datetime  # by a weather station or a model
    fetched_at: datetime  # by us
