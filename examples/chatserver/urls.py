"""Addresses of the chat server."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from chatserver import views

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="broadcast_chat")),
    path("chat/", views.BroadcastChat.as_view(), name="broadcast_chat"),
    path("userchat/", views.UserChat.as_view(), name="user_chat"),
    path("groupchat/", views.GroupChat.as_view(), name="group_chat"),
    path("board/", views.Board.as_view(), name="board"),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
]
