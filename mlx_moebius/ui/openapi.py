"""The API for programs as an OpenAPI description, from the types and bounds that requests are checked by."""

from __future__ import annotations

import types
from dataclasses import MISSING, fields
from html import escape
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.photos.formats import EXTENSIONS
from mlx_moebius.schema import Bounds
from mlx_moebius.ui.runs import MAX_SEEDS, MAX_STEPS, Request
from mlx_moebius.version import __version__

FILE = {"type": "string", "format": "binary"}
KINDS = {int: "integer", float: "number", bool: "boolean", str: "string"}
LEFT_OUT = ("extend",)  # of `Settings`: requests give it as text
SHOTS = "Other shots of the same scene: what they show of the mask is taken from them, where it fits."
MASKS = "White is filled; several masks are united. May be left out with select or extend."
SELECT = "What is to be selected, such as box:100,50,200,300 (x, y, width, height), wire:10,20 or dust."
ERROR = {"description": 'One sentence that says what is wrong: {"error": "..."}.'}


def describe(models: list[str]) -> dict[str, Any]:
    """The whole description, OpenAPI 3.1."""
    hints = get_type_hints(Request, include_extras=True)
    settings = get_type_hints(Settings, include_extras=True)
    fill: dict[str, Any] = {
        "photo": FILE | {"description": f"The photo: {' '.join(EXTENSIONS)}. What comes back has its format."},
        "mask": {"type": "array", "items": FILE, "description": MASKS},
        "from": {"type": "array", "items": FILE, "description": SHOTS},
        "select": {"type": "array", "items": {"type": "string"}, "description": SELECT},
        "model": {"type": "string", "enum": models, "default": models[0]},
        "preset": typed(hints["preset"]) | {"default": "standard"},
        "extend": {"type": "string", "description": "Widen the frame: 10%, left=256,top=10%, or 16:9."},
        "gravity": typed(hints["gravity"]) | {"default": "center", "description": "Where the photo stays in it."},
    }
    fill["output"] = {"type": "string", "enum": ["photo", "patch"], "default": "photo"}
    fill["output"]["description"] = (
        "patch: only what changed, to lie over the photo as a layer; PNG, or TIFF for a TIFF."
    )
    for field in fields(Settings):
        if field.name not in LEFT_OUT:
            fill[field.name] = typed(settings[field.name])
            if field.default is not MISSING and field.default is not None:
                fill[field.name]["default"] = field.default
    fill["num_steps"] |= {"maximum": MAX_STEPS, "default": "the model's"}
    fill["guidance_scale"]["default"] = "the model's"
    edit: dict[str, Any] = {
        "image": FILE | {"description": "The photo."},
        "mask": FILE | {"description": "Transparent where to fill; without it, the photo's own transparency."},
        "n": {"type": "integer", "minimum": 1, "maximum": MAX_SEEDS, "default": 1},
        "model": {"type": "string", "description": "One of those here; any other name means the page's."},
        "output_format": {"type": "string", "enum": ["png", "jpeg", "webp"], "default": "png"},
        "response_format": {"type": "string", "enum": ["b64_json"], "default": "b64_json"},
        "size": {"type": "string", "description": "Ignored: the photo keeps its size."},
        "prompt": {"type": "string", "description": "Ignored: what is filled continues what is round it."},
    }
    photo = {"description": "The filled photo.", "content": {"image/*": {"schema": FILE}}}
    photo["content"] |= {"text/event-stream": {"schema": {"type": "string"}}}  # type: ignore[operator]
    images = {"description": '{"created": seconds, "data": [{"b64_json": file}]}, and "warnings" where there are any'}
    return {
        "openapi": "3.1.0",
        "info": {"title": "mlx-moebius", "version": __version__, "description": "Remove things from photos, locally."},
        "paths": {
            "/fill": {
                "post": operation(
                    "Fill what a mask covers in a photo",
                    "The filled photo comes back, in its own format and with its metadata; where something about it "
                    "should be looked at, the header `X-Moebius-Warnings` says so, a JSON list. With `Accept: "
                    "text/event-stream`, `run` events tell how it goes; the last one, `done`, has the file's `url` "
                    "and the warnings.",
                    fill,
                    ["photo"],
                    photo,
                )
            },
            "/select": {
                "post": operation(
                    "Select in a photo instead of painting",
                    "The mask comes back, a PNG of the photo's size, white what is selected.",
                    {
                        "photo": FILE | {"description": "The photo."},
                        "select": {"type": "array", "items": {"type": "string"}, "description": SELECT},
                    },
                    ["photo", "select"],
                    {"description": "The mask.", "content": {"image/png": {"schema": FILE}}},
                )
            },
            "/v1/images/edits": {
                "post": operation(
                    "The same as clients of the well-known API for editing images ask for it",
                    "Give them this server's address with /v1 as their base URL, and the printed address's token as "
                    "their key.",
                    edit,
                    ["image"],
                    images,
                )
            },
        },
    }


def operation(summary: str, text: str, form: dict[str, Any], needed: list[str], answer: dict[str, Any]) -> Any:
    """One operation that takes a form."""
    schema = {"type": "object", "properties": form, "required": needed}
    return {
        "summary": summary,
        "description": text,
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}},
        "responses": {"200": answer, "4XX": ERROR},
    }


def typed(hint: Any, within: Bounds | None = None) -> dict[str, Any]:
    """A type hint as a JSON schema."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return typed(arguments[0], next((bounds for bounds in arguments[1:] if isinstance(bounds, Bounds)), None))
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin in (Union, types.UnionType):
        several = [typed(kind, within) for kind in arguments if kind is not types.NoneType]
        return several[0] if len(several) == 1 else {"anyOf": several}
    schema: dict[str, Any] = {"type": KINDS[hint]}
    return schema | ({"minimum": within.least, "maximum": within.most} if within else {})


def html(description: dict[str, Any]) -> str:
    """The description as an HTML page that needs only its style sheet."""
    parts = []
    for path, methods in description["paths"].items():
        operation = methods["post"]
        schema = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
        rows = "".join(
            f"<tr><th scope=row><code>{escape(name)}</code>{' (needed)' if name in schema['required'] else ''}</th>"
            f"<td>{escape(in_words(field))}</td><td>{escape(str(field.get('default', '')))}</td>"
            f"<td>{code(field.get('description', ''))}</td></tr>"
            for name, field in schema["properties"].items()
        )
        parts.append(
            f"<section><h2><code>POST {escape(path)}</code></h2><p>{escape(operation['summary'])}. "
            f"{code(operation['description'])}</p><table><thead><tr><th>Field</th><th>What</th><th>Default</th>"
            f"<th></th></tr></thead><tbody>{rows}</tbody></table></section>"
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>mlx-moebius for programs</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="/static/docs.css"></head><body><main><h1>For programs</h1>'
        "<p>Forms with files (<code>multipart/form-data</code>). Errors are "
        '<code>{"error": "one sentence"}</code>. Where others may use this page too, send '
        "<code>Authorization: Bearer TOKEN</code> with the token of the printed address. "
        f'<a href="/openapi.json">openapi.json</a> says the same.</p>{"".join(parts)}</main></body></html>'
    )


def in_words(schema: dict[str, Any]) -> str:
    """A field's type in words."""
    if "anyOf" in schema:
        return " or ".join(in_words(kind) for kind in schema["anyOf"])
    if "items" in schema:
        return f"{in_words(schema['items'])}s"
    if "enum" in schema:
        return " or ".join(schema["enum"])
    words = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    text = "file" if schema.get("format") == "binary" else words[schema["type"]]
    return text + (f", {schema['minimum']} to {schema['maximum']}" if "minimum" in schema else "")


def code(text: str) -> str:
    """A description as HTML; text between backticks becomes code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
