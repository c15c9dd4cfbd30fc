"""Pages of the playground."""

from django.urls import path
from django.views.generic import RedirectView, TemplateView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="chat")),
    path("chat/", TemplateView.as_view(template_name="chat.html"), name="chat"),
    path("echo/", TemplateView.as_view(template_name="echo.html"), name="echo"),
    path("ping/", TemplateView.as_view(template_name="ping.html"), name="ping"),
]
