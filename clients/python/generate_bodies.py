"""Prints src/datastream_client/bodies.py, made of docs/schemas. bodies.sh runs it."""

import json
import textwrap
from pathlib import Path
from typing import Any

from datamodel_code_generator import (
    Formatter,
    InputFileType,
    LiteralType,
    PythonVersion,
    generate,
)
from datamodel_code_generator.enums import DataModelType

SCHEMAS = Path(__file__).resolve().parents[2] / "docs/schemas"
BODIES = ["connectivity", "datapoint", "datapointack", "location", "registration"]
HEADER = '''# Made of docs/schemas by bodies.sh: do not edit.
"""Bodies of events, by type, and their metadata.

Producers choose what is in an event: any field may be missing or None, and gateways do not check
that it has its documented type. Numbers are `int`, and `Decimal` where they are no `int`.
"""
'''


def documented(member: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a member with its documented type alone.

    The other alternative says that gateways let other values through.
    """
    schema = {**member, **member.get("anyOf", [{}])[0]}
    about = {"description": wrapped(member["description"])}
    if "number" in schema.get("type", []):
        # A plain number would be a float.
        exact = {"type": "number", "format": "decimal"}
        names = ["integer", *schema["type"]]
        return {**about, "anyOf": [exact if name == "number" else {"type": name} for name in names]}
    # Times are the texts that were sent, whose format would make them times.
    types = {key: schema[key] for key in ("type", "items", "enum") if key in schema}
    return {**about, **types}


def wrapped(description: str) -> str:
    """Returns a description in lines that fit into a docstring of a member."""
    return textwrap.fill(description, 92)


def definition(slug: str, suffix: str) -> tuple[str, dict[str, Any]]:
    schema = json.loads((SCHEMAS / f"{slug}.json").read_text("utf-8"))
    properties = {name: documented(member) for name, member in schema["properties"].items()}
    return schema["title"] + suffix, {
        "type": "object",
        "description": wrapped(schema["description"]),
        "properties": properties,
    }


def main() -> None:
    definitions = [*(definition(slug, "Body") for slug in BODIES), definition("metadata", "")]
    code = generate(
        json.dumps({"$defs": dict(definitions)}),
        input_file_type=InputFileType.JsonSchema,
        output_model_type=DataModelType.TypingTypedDict,
        target_python_version=PythonVersion.PY_310,
        custom_file_header=HEADER,
        enum_field_as_literal=LiteralType.All,
        formatters=[Formatter.BUILTIN],
        import_overrides={"TypedDict": "typing"},
        skip_root_model=True,
        use_closed_typed_dict=False,
        use_inline_field_description=True,
        use_schema_description=True,
        use_total_false_for_typed_dict=True,
    )
    print(code)


if __name__ == "__main__":
    main()
