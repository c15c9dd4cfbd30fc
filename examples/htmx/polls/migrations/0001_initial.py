"""The table, and what there is to choose from."""

from django.db import migrations, models


def add_choices(apps, schema_editor):
    choice = apps.get_model("polls", "Choice")
    choice.objects.bulk_create(choice(name=name) for name in ("Tea", "Coffee", "Cocoa"))


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel(
            name="Choice",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=50, unique=True)),
                ("votes", models.PositiveIntegerField(default=0)),
            ],
            options={"ordering": ["pk"]},
        ),
        migrations.RunPython(add_choices, migrations.RunPython.noop),
    ]
