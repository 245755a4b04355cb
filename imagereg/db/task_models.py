"""The tables of background work: what is told about it, and who does it."""

from typing import ClassVar

from peewee import BigIntegerField, CharField, IntegerField, Model, TextField


class TaskRow(Model):
    """One piece of background work, as clients see it.

    Kept for a while after its end.  Source: contract api-images 11.2 and 24.
    """

    id = CharField(max_length=36, primary_key=True)
    type = CharField(max_length=30)
    status = CharField(max_length=16)
    owner = CharField(max_length=255, null=True)
    image_id = CharField(max_length=36, null=True)
    request_id = CharField(max_length=255, null=True)
    user_id = CharField(max_length=255, null=True)
    input = TextField(default="null")
    result = TextField(default="null")
    message = TextField(default="")
    created_at_us = BigIntegerField()
    updated_at_us = BigIntegerField()
    expires_at_us = BigIntegerField(null=True)

    class Meta:
        """Found by image, and in order of creation."""

        table_name = "tasks"
        indexes: ClassVar = (
            (("image_id",), False),
            (("created_at_us", "id"), False),
        )


class JobRow(Model):
    """A task that is not finished, and the process that works on it.

    The row goes in the transaction that finishes the task, never before, so no crash
    loses work.  ``payload`` is what the work needs and clients must not see.
    """

    task_id = CharField(max_length=36, primary_key=True)
    worker = CharField(max_length=255, null=True)
    beat_at_us = BigIntegerField()
    attempts = IntegerField(default=0)
    payload = TextField(default="{}")

    class Meta:
        """Few rows at any time: no index but the key."""

        table_name = "jobs"


TASK_TABLES: tuple[type[Model], ...] = (TaskRow, JobRow)
