"""Rows become images by position."""

from dataclasses import fields

from imagereg.db.rows import COLUMNS
from imagereg.model import Image


def test_columns_stand_in_the_order_of_the_fields() -> None:
    names = tuple(field.name for field in fields(Image))

    assert names == (*COLUMNS, "tags", "properties", "locations")
