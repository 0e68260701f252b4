"""Users and roles: who may log in, and what each role may do. Nobody gives what they do not have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from deliveries.console.operating import actor
from deliveries.ledger.audit import LONGEST_REASON
from deliveries.models import AuditEntry
from deliveries.operations import Who

admin.site.unregister(User)
admin.site.unregister(Group)


class Why(forms.ModelForm):  # type: ignore[type-arg]
    """Asks for a reason beside everything else."""

    reason = forms.CharField(
        required=False,
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Why this is changed. It is kept in the audit log.",
    )


class ChangedUser(Why, UserChangeForm):  # type: ignore[misc]
    """A user, and why."""


class NewUser(Why, UserCreationForm):  # type: ignore[misc]
    """A new user, and why."""


class Permissions(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Permissions in plain words, where Django names an app and a model, too."""

    def label_from_instance(self, obj: Any) -> str:
        words = str(obj.name).removeprefix("Can ").removeprefix("may ").capitalize()
        return words.replace("group", "role").replace("api key", "API key").replace("tally", "dashboard")


class AuditedAdmin(ModelAdmin):  # type: ignore[misc]
    """What is made, changed and deleted has a line in our audit log, in the place of Django's own."""

    made: ClassVar[AuditEntry.Action]
    changed: ClassVar[AuditEntry.Action]
    deleted: ClassVar[AuditEntry.Action]

    def standing(self, row: Any) -> dict[str, Any]:
        """What the audit log keeps of how it stands now."""
        raise NotImplementedError

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Why, only where something can be changed."""
        fieldsets = super().get_fieldsets(request, obj)
        may_change = obj is None or self.has_change_permission(request, obj)
        return fieldsets if may_change else [part for part in fieldsets if part[0] != "Why"]

    def formfield_for_manytomany(self, db_field: Any, request: Any = None, **kwargs: Any) -> Any:
        """A box to tick for each role or permission that who asks may give."""
        kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
        if db_field.related_model is Group:
            kwargs |= {"queryset": _roles_to_give(request), "label": "Roles", "help_text": ""}
        else:
            kwargs |= {"queryset": _permissions_to_give(request), "form_class": Permissions}
        if db_field.name == "user_permissions":
            kwargs |= {"label": "Of their own", "help_text": "What they may do beside what their roles allow."}
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def log_addition(self, request: HttpRequest, obj: Model, _message: Any) -> None:
        self._write_down(request, self.made, obj, self.standing(obj))

    def log_change(self, request: HttpRequest, obj: Model, message: list[dict[str, Any]]) -> None:
        parts = [part["changed"]["fields"] for part in message if "changed" in part]
        fields = [name for fields in parts for name in fields if name != "reason"]
        self._write_down(request, self.changed, obj, {"changed": fields} | self.standing(obj))

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self._write_down(request, self.deleted, row, self.standing(row))

    def _write_down(self, request: HttpRequest, action: AuditEntry.Action, obj: Model, detail: dict[str, Any]) -> None:
        who = Who(actor(request), request.POST.get("reason", ""))
        AuditEntry.objects.create(actor=who.actor, action=action, subject=str(obj), reason=who.reason, detail=detail)


@admin.register(User)
class ConsoleUserAdmin(AuditedAdmin, UserAdmin):  # type: ignore[misc, type-arg]
    """People who may log in. Who is no superuser makes none, and touches nobody who may do more than they."""

    made, changed, deleted = AuditEntry.Action.USER_MADE, AuditEntry.Action.USER_CHANGED, AuditEntry.Action.USER_DELETED

    filter_horizontal = ()
    form = ChangedUser
    add_form = NewUser
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "is_active", "is_superuser", "last_login")
    fieldsets = (*(UserAdmin.fieldsets or ()), ("Why", {"fields": ("reason",)}))
    add_fieldsets = (*UserAdmin.add_fieldsets, ("Role", {"fields": ("groups",)}), ("Why", {"fields": ("reason",)}))
    readonly_fields = ("last_login", "date_joined")

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            obj.is_staff = True  # without it nobody can log in, whatever their role
        super().save_model(request, obj, form, change)

    def standing(self, row: User) -> dict[str, Any]:
        roles = sorted(row.groups.values_list("name", flat=True))
        own = sorted(row.user_permissions.values_list("codename", flat=True))
        may = {"roles": roles, "permissions": own, "superuser": row.is_superuser}
        return may | {"active": row.is_active, "staff": row.is_staff}

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, "is_superuser")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_do_all_that(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_do_all_that(request, obj)


@admin.register(Group)
class RoleAdmin(AuditedAdmin, GroupAdmin):  # type: ignore[misc]
    """Roles, which are groups: viewer, operator and admin are there from the beginning."""

    made, changed, deleted = AuditEntry.Action.ROLE_MADE, AuditEntry.Action.ROLE_CHANGED, AuditEntry.Action.ROLE_DELETED

    filter_horizontal = ()
    form = Why
    list_display = ("role",)
    fieldsets = ((None, {"fields": ("name", "permissions")}), ("Why", {"fields": ("reason",)}))

    @admin.display(description="role", ordering="name")
    def role(self, group: Group) -> str:
        return group.name

    def standing(self, row: Group) -> dict[str, Any]:
        return {"permissions": sorted(row.permissions.values_list("codename", flat=True)) if row.pk else []}

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_change_permission(request, obj) and self._may_all_of(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self._may_all_of(request, obj)

    def _may_all_of(self, request: HttpRequest, role: Group | None) -> bool:
        return role is None or _may_all(request, role.permissions.select_related("content_type"))


def _may_do_all_that(request: HttpRequest, user: User | None) -> bool:
    """Whether who asks may do whatever the user may, or could if active: who sets a password may do that, too."""
    if user is None or request.user.is_superuser:
        return True
    theirs = Permission.objects.filter(Q(user=user) | Q(group__user=user)).select_related("content_type")
    return not user.is_superuser and _may_all(request, theirs)


def _may_all(request: HttpRequest, permissions: Iterable[Permission]) -> bool:
    return all(request.user.has_perm(f"{one.content_type.app_label}.{one.codename}") for one in permissions)


def _permissions_to_give(request: HttpRequest) -> QuerySet[Permission]:
    """Those that who asks has, of those that the console asks for: what is only read, nobody adds or changes."""
    ours, theirs = Q(content_type__app_label="deliveries"), Q(content_type__model__in=("user", "group"))
    idle = ours & Q(codename__regex="^(add|change|delete)_") & ~Q(codename__in=("add_apikey", "change_apikey"))
    every = Permission.objects.filter(ours | theirs).exclude(idle).select_related("content_type")
    if request.user.is_superuser:
        return every
    return every.filter(pk__in=[one.pk for one in every if _may_all(request, [one])])


def _roles_to_give(request: HttpRequest) -> QuerySet[Group]:
    """Those that allow nothing that who asks may not do."""
    if request.user.is_superuser:
        return Group.objects.all()
    every = Permission.objects.select_related("content_type")
    return Group.objects.exclude(permissions__in=[one for one in every if not _may_all(request, [one])])
