"""Columns that several tables have."""

from __future__ import annotations

from datetime import datetime

from django.db import models


def moment(help_text: str = "") -> models.DateTimeField[datetime | None, datetime | None]:
    """A time that is not there until it has come."""
    return models.DateTimeField(null=True, blank=True, help_text=help_text)
