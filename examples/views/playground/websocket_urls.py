"""Websockets of the playground, each at the address of its page."""

from django.urls import path

from ws4redis.views.samples import chat, echo, ping

urlpatterns = [
    path("chat/", chat, name="chat"),
    path("echo/", echo, name="echo"),
    path("ping/", ping, name="ping"),
]
