"""The page of the poll."""

from django.urls import path

from polls import views

urlpatterns = [path("", views.page, name="poll")]
