"""What somebody may post."""

from django import forms
from django.contrib.auth import get_user_model


class MessageForm(forms.Form):
    message = forms.CharField(max_length=500)


class UserMessageForm(MessageForm):
    recipient = forms.ModelChoiceField(get_user_model().objects.none(), to_field_name="username")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        users = get_user_model().objects.filter(is_active=True).order_by("username")
        self.fields["recipient"].queryset = users
