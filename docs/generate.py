"""Fill the pages' generated parts from the code: a hook of mkdocs, called for each page when the site is built.

A line ``<!-- generated: NAME -->`` in a page is replaced by what ``PARTS[NAME]`` returns. The pages therefore follow the
code by themselves, and the tests read them through ``render``.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import sys
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum, IntFlag
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MARK = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)
ROLE = re.compile(r"``([^`]+)``")


def on_config(config: Any) -> Any:
    """Let the hook import the checkout's own code."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page with its generated parts."""
    return render(markdown)


def render(markdown: str) -> str:
    """Replace each mark by its part; a mark that names no part is an error."""
    return MARK.sub(lambda match: PARTS[match[1]](), markdown)


def page(name: str) -> str:
    """Return a page of the documentation as it is built."""
    return render((DOCS / name).read_text("utf-8"))


def options() -> str:
    """Return a section for each record of options: its fields with type, default and meaning."""
    package = importlib.import_module("tasks.options")
    flows = _readers()
    parts = []
    for name in package.__all__:
        kind = getattr(package, name)
        readers = ", ".join(f"`{flow}`" for flow in flows.get(name, ()))
        parts += [f"## {name}", _first_line(kind), f"Parameter of: {readers}." if readers else ""]
        parts.append(
            _table(("option", "values", "default", "meaning"), map(_option_row, _pydantic_fields(kind).items()))
        )
    return "\n\n".join(filter(None, parts))


def flows() -> str:
    """Return a section for each flow: what it does, and its parameters with defaults and meanings."""
    parts = []
    for node in sorted(_flows(), key=lambda each: each.name):
        words = ast.get_docstring(node) or ""
        meanings = dict(re.findall(r"^    (\w+): (.+)$", words, re.MULTILINE))
        rows = ((f"`{name}`", default, meanings.get(name, "")) for name, default in _parameters(node))
        parts += [f"### {node.name}", _plain(words.split("\n\n")[0])]
        parts.append(_table(("parameter", "default", "meaning"), rows))
    return "\n\n".join(parts)


def commands() -> str:
    """Return a section for each verb of ``siren``: its usage, what it does, its arguments and options."""
    cli = importlib.import_module("deployments.cli")
    parts = []
    for verb in cli.VERBS:
        command = cli.Verbs(name="siren").get_command(click.Context(click.Command("siren")), verb)
        parts += list(_command(command, f"siren {verb}"))
    return "\n\n".join(parts)


def verbs() -> str:
    """Return the table of verbs."""
    cli = importlib.import_module("deployments.cli")
    rows = ((f"[`siren {verb}`](command-line.md#siren-{verb})", words) for verb, words in cli.VERBS.items())
    return _table(("verb", "does"), rows)


def blocks() -> str:
    """Return a table for each block: fields, variables, defaults, meanings."""
    seeds = importlib.import_module("deployments.server.blocks_from_environment")
    parts = []
    for kind in seeds.block_types():
        parts += [f"### {seeds.document_name(kind)}", _first_line(kind)]
        rows = [
            (f"`{field}`", f"`{seeds.variable(kind, field)}`", _default(info), info.description or "")
            for field, info in kind.model_fields.items()
            if field not in _block_fields()
        ]
        parts.append(_table(("field", "variable", "default", "meaning"), rows))
    return "\n\n".join(parts)


def block_names() -> str:
    """Return the fields of ``Blocks``: which block a flow reads for what, and the name that it has by default."""
    kind = importlib.import_module("tasks.records").Blocks
    return _table(("field", "values", "default", "meaning"), map(_option_row, _pydantic_fields(kind).items()))


def deployments() -> str:
    """Return the deployments of ``prefect.yaml``: flow, pool, what starts it."""
    document = importlib.import_module("yaml").safe_load((ROOT / "prefect.yaml").read_text("utf-8"))
    rows = []
    for each in document["deployments"]:
        flow = each["entrypoint"].rpartition(".")[2]
        starts = [f"event `{event}`" for trigger in each.get("triggers", ()) for event in trigger["expect"]]
        starts += [_schedule(schedule) for schedule in each.get("schedules", ())]
        pool = f"{each['work_pool']['name']}, queue {each['work_pool']['work_queue_name']}"
        rows.append((f"`{flow}/{each['name']}`", f"`{each['entrypoint']}`", pool, "; ".join(starts) or "by hand"))
    return _table(("deployment", "entrypoint", "pool", "what starts it"), rows)


def doctor() -> str:
    """Return the table of the doctor's checks."""
    checks = importlib.import_module("deployments.server.doctor")
    rows = ((f"`{each.name}`", "yes" if each.required else "no", each.remedy) for each in checks.all_probes())
    return _table(("check", "required", "remedy that it prints"), rows)


def mask_bits() -> str:
    """Return the bits of mask planes."""
    return _bits("tasks.records.nights", "MaskBit")


def quality_bits() -> str:
    """Return the bits of QAFLAG."""
    return _bits("tasks.records.nights", "QaBit")


def candidate_flags() -> str:
    """Return the flags of candidates: column, name, the condition in words."""
    flags = importlib.import_module("tasks.science.candidates.flags")
    rows = []
    for number, name in enumerate(flags.NAMES):
        test = getattr(flags, name.replace("-", "_"), None)
        rows.append((f"`flag_{number}`", f"`{name}`", _first_line(test).removeprefix("Return True ") if test else ""))
    return _table(("column", "name", "true"), rows)


def telescopes() -> str:
    """Return the telescopes that come with brightsiren."""
    package = importlib.import_module("tasks.telescopes")
    rows = []
    for name in package.names():
        each = package.load(name)
        field = f"{each.field_of_view.width_deg:g} by {each.field_of_view.height_deg:g}"
        exposure = f"{each.exposure.count} of {each.exposure.seconds:g} s, {each.exposure.filter}"
        limits = f"{each.limits.minimum_altitude_deg:g}° / {each.limits.moon_distance_deg:g}°"
        rows.append((f"`{name}`", each.site.name, field, exposure, limits))
    return _table(("name", "site", "field, deg", "exposure of a tile", "lowest altitude / Moon distance"), rows)


def telescope_keys() -> str:
    """Return the keys of a telescope's file, table by table."""
    records = importlib.import_module("tasks.records.telescopes")
    words = _attribute_words("tasks.records.telescopes")
    hints = typing.get_type_hints(records.Telescope, include_extras=True)
    parts, own = [], []
    for field in dataclasses.fields(records.Telescope):
        kind = next(
            (each for each in (hints[field.name], *typing.get_args(hints[field.name])) if _is_record(each)), None
        )
        if kind is None:
            own.append(_key_row(field, hints[field.name], words.get(f"Telescope.{field.name}", "")))
            continue
        title = f"[[{field.name}]]" if typing.get_origin(hints[field.name]) is tuple else f"[{field.name}]"
        inner = typing.get_type_hints(kind, include_extras=True)
        rows = [
            _key_row(each, inner[each.name], words.get(f"{kind.__name__}.{each.name}", ""))
            for each in dataclasses.fields(kind)
        ]
        parts += [f"### `{title}`", _first_line(kind), _table(("key", "values", "default", "note"), rows)]
    first = ["### At the top, before any table", _table(("key", "values", "default", "note"), own)]
    return "\n\n".join([*first, *parts])


def comparisons() -> str:
    """Return the comparisons of a policy's conditions."""
    policies = importlib.import_module("tasks.policies")
    records = importlib.import_module("tasks.records")
    rows = []
    for each in records.Comparison:
        if each in policies.NUMERIC:
            value = "a number, or the name of a threshold"
        elif each in policies.LISTS:
            value = "a list of texts"
        else:
            value = "`true` or `false`" if each is records.Comparison.KNOWN else "a text, a number, `true` or `false`"
        rows.append((f"`{each.value}`", value))
    return _table(("comparison", "takes"), rows)


def policies() -> str:
    """Return the policies that come with brightsiren, and the rules of each in their order."""
    package = importlib.import_module("tasks.policies")
    parts = []
    for name in package.names():
        policy = package.load(name)
        sets = ", ".join(
            f"`{each}`"
            for each in tomllib.loads((package.FOLDER / f"{name}.toml").read_text("utf-8")).get("thresholds", {})
        )
        parts += [f"### {name}", f"{policy.description}." + (f" Sets of thresholds: {sets}." if sets else "")]
        rows = [
            (
                str(number),
                rule.name,
                rule.kind or "all",
                rule.action,
                rule.plan.value,
                ", ".join(rule.telescopes) or "none named",
            )
            for number, rule in enumerate(policy.rules, start=1)
        ]
        parts.append(_table(("", "rule", "kind", "action", "plan", "telescopes"), rows))
    return "\n\n".join(parts)


def topics() -> str:
    """Return the Kafka topics that the listener subscribes to."""
    missions = importlib.import_module("tasks.records.missions")
    return "\n".join(f"- `{topic}`" for topic in missions.TOPICS)


def rooms() -> str:
    """Return the folders of code, each with the first sentence of its package and its number of modules."""
    rows = []
    for package in ("flows", "tasks", "blocks", "deployments"):
        for path in sorted((ROOT / package).rglob("__init__.py")):
            words = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n\n")[0]
            modules = sum(each.name != "__init__.py" for each in path.parent.glob("*.py"))
            rows.append((f"`{path.parent.relative_to(ROOT)}/`", str(modules), _plain(words)))
    return _table(("room", "modules", "holds"), rows)


def law() -> str:
    """Return the import law as the test states it."""
    tests = _architecture()
    rows = [(f"`{layer}`", ", ".join(f"`{each}`" for each in sorted(allowed))) for layer, allowed in tests.LAW.items()]
    floors = [
        (str(number), ", ".join(f"`{room}`" for room in sorted(rooms))) for number, rooms in enumerate(tests.FLOORS)
    ]
    return "\n\n".join(
        [
            _table(("layer", "may import"), rows),
            "Inside `tasks/science` the rooms stand on floors. A room imports rooms of lower floors only.",
            _table(("floor", "rooms"), floors),
        ]
    )


PARTS: Mapping[str, Callable[[], str]] = {
    "block-names": block_names,
    "blocks": blocks,
    "candidate-flags": candidate_flags,
    "commands": commands,
    "comparisons": comparisons,
    "deployments": deployments,
    "doctor": doctor,
    "flows": flows,
    "law": law,
    "mask-bits": mask_bits,
    "options": options,
    "policies": policies,
    "quality-bits": quality_bits,
    "rooms": rooms,
    "telescope-keys": telescope_keys,
    "telescopes": telescopes,
    "topics": topics,
    "verbs": verbs,
}


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return _plain(str(text)).replace("|", "\\|").replace("<", "&lt;")


def _plain(text: str) -> str:
    """Return a docstring's text as Markdown on one line."""
    return " ".join(ROLE.sub(r"`\1`", re.sub(r":class:`([^`]+)`", r"`\1`", text)).split())


def _first_line(thing: Any) -> str:
    return _plain((inspect.getdoc(thing) or "").split("\n\n")[0])


def _pydantic_fields(kind: Any) -> Mapping[str, FieldInfo]:
    return kind.__pydantic_fields__


def _option_row(item: tuple[str, FieldInfo]) -> tuple[str, ...]:
    name, info = item
    return f"`{name}`", _values(TypeAdapter(info.annotation), info), _default(info), info.description or ""


def _values(adapter: TypeAdapter[Any], info: FieldInfo) -> str:
    """Say which values a field takes, by its JSON schema."""
    try:
        schema = (
            TypeAdapter(typing.Annotated[info.annotation, *info.metadata]).json_schema()
            if info.metadata
            else adapter.json_schema()
        )
    except Exception as error:  # a type that JSON schema does not know must not hide behind an empty cell
        raise ValueError(f"no schema of {info!r}") from error
    return _schema_words(schema, schema.get("$defs", {}))


def _schema_words(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        inner = defs[name]
        return _schema_words(inner, defs) if "enum" in inner else f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_schema_words(each, defs) for each in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "array":
        prefix = schema.get("prefixItems")
        if prefix:
            return f"{len(prefix)} numbers"
        most = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"list of {_schema_words(schema.get('items', {}), defs)}{most}"
    words = {
        "boolean": "`true`, `false`",
        "string": "text",
        "number": "number",
        "integer": "whole number",
        "null": "nothing",
    }
    return words.get(str(kind), str(kind)) + _range(schema)


def _range(schema: Mapping[str, Any]) -> str:
    low = f">&nbsp;{schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else ""
    low = f"≥&nbsp;{schema['minimum']:g}" if "minimum" in schema else low
    high = f"<&nbsp;{schema['exclusiveMaximum']:g}" if "exclusiveMaximum" in schema else ""
    high = f"≤&nbsp;{schema['maximum']:g}" if "maximum" in schema else high
    bounds = ", ".join(filter(None, (low, high)))
    return f" {bounds}" if bounds else ""


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True, validated_data={})
    return "" if value is PydanticUndefined else _value_words(value)


def _value_words(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        changed = [
            f"{name}={_value_words(getattr(value, name)).strip('`')}"
            for name, info in _pydantic_fields(type(value)).items()
            if getattr(value, name) != info.get_default(call_default_factory=True, validated_data={})
        ]
        return f"with `{', '.join(changed)}`" if changed else "its own defaults"
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, Enum):
        value = value.value
    if value in {None, "", ()}:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        return "`" + ", ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in value) + "`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _flows() -> Iterator[ast.FunctionDef]:
    """Yield the functions that are flows."""
    for path in sorted((ROOT / "flows").rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(each, ast.Call) and ast.unparse(each.func) == "flow" for each in node.decorator_list
            ):
                yield node


def _parameters(node: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Yield the parameters of a flow with their defaults in words."""
    positional = [None] * (len(node.args.args) - len(node.args.defaults)) + list(node.args.defaults)
    for argument, value in zip(
        (*node.args.args, *node.args.kwonlyargs), (*positional, *node.args.kw_defaults), strict=True
    ):
        kind = ast.unparse(argument.annotation) if argument.annotation else ""
        if value is None:
            yield argument.arg, "required"
        elif kind.endswith("Options"):
            yield argument.arg, f"[{kind}](#{kind.lower()})"
        elif kind == "Blocks":
            yield argument.arg, "[Blocks](#blocks)"
        else:
            words = ast.unparse(value)
            yield argument.arg, "none" if words in {"None", "()", "''"} else f"`{words}`"


def _readers() -> dict[str, list[str]]:
    """Return the flows by the record of options that one of their parameters is."""
    found: dict[str, list[str]] = {}
    for node in _flows():
        for argument in (*node.args.args, *node.args.kwonlyargs):
            name = ast.unparse(argument.annotation) if argument.annotation else ""
            if name.endswith("Options"):
                found.setdefault(name, []).append(node.name)
    return found


def _command(command: click.Command, name: str) -> Iterator[str]:
    """Yield the paragraphs of a command, and of the commands inside it."""
    context = click.Context(command, info_name=name)
    yield f"{'#' * (2 + name.count(' ') - 1)} {name}"
    yield _plain(command.help or "")
    yield f"```text\n{' '.join(command.get_usage(context).removeprefix('Usage: ').split())}\n```"
    rows = [row for parameter in command.get_params(context) if (row := _parameter_row(parameter, context))]
    if rows:
        yield _table(("option", "meaning"), rows)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            yield from _command(command.get_command(context, inner), f"{name} {inner}")


def _parameter_row(parameter: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    record = parameter.get_help_record(context)
    return (f"`{record[0]}`", record[1]) if record and "--help" not in parameter.opts else None


def _schedule(schedule: Mapping[str, Any]) -> str:
    state = "" if schedule.get("active", True) else ", off until it is switched on"
    return f"every {schedule['interval'] / 60:g} min{state}"


def _bits(module: str, name: str) -> str:
    kind: type[IntFlag] = getattr(importlib.import_module(module), name)
    words = _attribute_words(module)
    rows = ((str(bit.value), f"`{bit.name}`", words.get(f"{name}.{bit.name}", "")) for bit in kind)
    return _table(("value", "name", "meaning"), rows)


def _attribute_words(module: str) -> dict[str, str]:
    """Return the docstrings under the attributes of a module's classes, as ``Class.attribute``."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    found = {}
    for kind in [node for node in tree.body if isinstance(node, ast.ClassDef)]:
        for before, after in zip(kind.body, kind.body[1:], strict=False):
            target = before.targets[0] if isinstance(before, ast.Assign) else getattr(before, "target", None)
            if isinstance(target, ast.Name) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found[f"{kind.name}.{target.id}"] = _plain(str(after.value.value))
    return found


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _key_row(field: dataclasses.Field[Any], hint: Any, words: str) -> tuple[str, ...]:
    schema = TypeAdapter(hint).json_schema()
    values = "table" if schema.get("type") == "object" else _schema_words(schema, schema.get("$defs", {}))
    if field.default is not dataclasses.MISSING:
        default = _value_words(field.default)
    else:
        default = "none" if field.default_factory is not dataclasses.MISSING else "required"
    return f"`{field.name}`", values, default, words


def _block_fields() -> frozenset[str]:
    return frozenset(importlib.import_module("prefect.blocks.core").Block.model_fields)


def _architecture() -> types.ModuleType:
    folder = str(ROOT / "tests")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("support.architecture")
