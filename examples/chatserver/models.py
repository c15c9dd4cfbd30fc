"""What is kept: the notes of the board."""

from django.db import models


class Note(models.Model):
    sender = models.CharField(max_length=150)
    text = models.CharField(max_length=500)
    time = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return self.text

    def as_message(self):
        """Return it as the browser gets it, with the page or through the websocket."""
        return {"pk": self.pk, "sender": self.sender, "text": self.text, "time": self.time}
