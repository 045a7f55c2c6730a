"""JSON Schema of what `structs.to_json` writes, derived from the ABI as the reading is."""

import functools
from typing import Any, Final

from protocol.abi import Field, struct_fields
from protocol.codec import MAX_JSON_INTEGER_BITS, MAX_LIST_ITEMS, integer_range
from protocol.structs import ENUMS

Schema = dict[str, Any]

ADDRESS: Final[Schema] = {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}
DECIMAL: Final[Schema] = {"type": "string", "pattern": "^(0|[1-9][0-9]{0,77})$"}
SHA256: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def hex_schema(size_bytes: int | None = None) -> Schema:
    count = "*" if size_bytes is None else f"{{{size_bytes}}}"
    return {"type": "string", "pattern": f"^0x([0-9a-f]{{2}}){count}$"}


def object_schema(properties: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Exactly these keys, and perhaps the optional ones."""
    return {
        "type": "object",
        "properties": properties | (optional or {}),
        "required": list(properties),
        "additionalProperties": False,
    }


@functools.cache
def struct_schema(struct: str) -> Schema:
    """Of a struct of the ABI. Shared: do not change it."""
    return object_schema({field.name: _schema(field, field.abi_type) for field in struct_fields(struct)})


def _schema(field: Field, abi_type: str) -> Schema:
    if abi_type.endswith("]"):
        item = _schema(field, abi_type[: abi_type.rindex("[")])
        return {"type": "array", "items": item, "maxItems": MAX_LIST_ITEMS}
    if field.struct is not None:
        return struct_schema(field.struct)
    if field.enum is not None:
        return {"type": "string", "enum": [member.name.lower() for member in ENUMS[field.enum]]}
    return _plain(abi_type)


def _plain(abi_type: str) -> Schema:
    if abi_type == "address":
        return ADDRESS
    if abi_type == "bool":
        return {"type": "boolean"}
    if abi_type == "string":
        return {"type": "string"}
    if abi_type.startswith("bytes"):
        return hex_schema(int(abi_type.removeprefix("bytes") or 0) or None)
    allowed = integer_range(abi_type)
    if allowed[-1].bit_length() + (allowed[0] < 0) > MAX_JSON_INTEGER_BITS:
        return DECIMAL if allowed[0] == 0 else {"type": "string", "pattern": "^(0|-?[1-9][0-9]{0,77})$"}
    return {"type": "integer", "minimum": allowed[0], "maximum": allowed[-1]}
