"""Reading tables; mistakes in a file are reported with the file, the line and the remedy."""

from kexp.files.cells import label_of, text_of
from kexp.files.columns import need_columns, need_distinct, to_dataset
from kexp.files.delimited import DelimitedFile, read_delimited
from kexp.files.first_bytes import FLAGS, KEYS, Remedies, encoding_of, format_by_bytes
from kexp.files.json_rows import json_objects
from kexp.files.tables import FORMATS, Layout, Table, format_of, names_of, open_table
from kexp.files.text import lines_of, read_text

__all__ = [
    "FLAGS",
    "FORMATS",
    "KEYS",
    "DelimitedFile",
    "Layout",
    "Remedies",
    "Table",
    "encoding_of",
    "format_by_bytes",
    "format_of",
    "json_objects",
    "label_of",
    "lines_of",
    "names_of",
    "need_columns",
    "need_distinct",
    "open_table",
    "read_delimited",
    "read_text",
    "text_of",
    "to_dataset",
]
