"""The addresses: the delivery console, and the API at the root."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("deliveries.api.urls")),
]

handler400 = "deliveries.api.errors.bad_request"
handler500 = "deliveries.api.errors.server_error"
