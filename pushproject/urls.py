"""The addresses: the delivery console, and the API at the root."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("deliveries.api.urls")),
]
