"""The websocket of the poll."""

from django.urls import path

from polls import views

urlpatterns = [path("poll/", views.vote, name="poll")]
