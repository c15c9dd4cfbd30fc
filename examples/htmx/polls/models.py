"""What there is to choose from."""

from django.db import models


class Choice(models.Model):
    """One answer, and how many have given it."""

    name = models.CharField(max_length=50, unique=True)
    votes = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return self.name
