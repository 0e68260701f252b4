"""The audit log: who did what to which notification, dead letter or key, when and why."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class AuditEntry(models.Model):
    """One action of a person or a program. It outlives what it was done to, so there is no foreign key."""

    class Action(models.TextChoices):
        RESEND = "resend", "resend"
        CANCEL = "cancel", "cancel"
        REDRIVE = "redrive", "redrive"
        DISCARD = "discard", "discard"
        STOP = "stop", "stop"
        FORGET = "forget", "forget"
        BELIEVE = "believe", "believe"
        LIFT = "lift", "lift"
        PAUSE = "pause", "pause"
        RESUME = "resume", "resume"
        LOOK = "look", "look at it raw"
        EXPORT = "export", "export"
        KEY_MADE = "key made", "key made"
        KEY_REVOKED = "key revoked", "key revoked"
        USER_MADE = "user made", "user made"
        USER_CHANGED = "user changed", "user changed"
        USER_DELETED = "user deleted", "user deleted"
        ROLE_MADE = "role made", "role made"
        ROLE_CHANGED = "role changed", "role changed"
        ROLE_DELETED = "role deleted", "role deleted"

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=255, help_text="`user ada`, `key gateway` or `shell root@host`")
    action = models.CharField(max_length=16, choices=Action)
    subject = models.CharField(max_length=255, help_text="the notification's id, the dead letter's or the key's name")
    reason = models.TextField(db_default="", blank=True)
    detail = models.JSONField(db_default={}, help_text="what else there is to know, such as `forced`")

    class Meta:
        db_table = "audit_log"
        verbose_name_plural = "audit log"
        indexes = [
            models.Index(fields=["-at"], name="audit_newest"),
            models.Index(fields=["subject"], name="audit_subject"),
            models.Index(fields=["action", "-at"], name="audit_action"),
            models.Index(fields=["actor", "-at"], name="audit_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.actor}: {self.action} {self.subject}"
