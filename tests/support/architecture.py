"""The import law and the Prefect pitfalls, stated as data and checked on the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("flows", "tasks", "blocks", "deployments", "benchmarks", "tests")
VOCABULARY = {"tasks.records", "tasks.options", "tasks.errors", "tasks.naming", "tasks.constants"}
# modules of tasks that other tasks may import
SHARED = (
    "tasks.resources",
    "tasks.products",
    "tasks.runtime",
    "tasks.futures",
    "tasks.observatory",
    "tasks.messages.event_facts",
    "tasks.messages.outgoing",
    "tasks.planning.aims",
)

# what a stage does when arrays, programs and files must meet: no tasks themselves, imported by the tasks of their room
ENGINES = ("tasks.reduction.engines", "tasks.messages.coincidences", "tasks.alerts.engines")
SHARED_LAYERS = frozenset(name.rpartition(".")[2] for name in SHARED)
BELOW_TASKS = frozenset({"science", "programs", "io", "registry", "telescopes", "policies", "blocks", "vocabulary"})

# layer → the layers of ours that it may import
LAW: Mapping[str, frozenset[str]] = {
    "vocabulary": frozenset({"vocabulary"}),
    "science": frozenset({"science", "vocabulary"}),
    "programs": frozenset({"programs", "vocabulary"}),
    "io": frozenset({"io", "vocabulary"}),
    "registry": frozenset({"registry", "vocabulary"}),
    "telescopes": frozenset({"telescopes", "vocabulary"}),
    "policies": frozenset({"policies", "vocabulary"}),
    "products": frozenset({"vocabulary"}),
    "outgoing": frozenset({"registry", "products", "vocabulary"}),
    "aims": frozenset({"science", "io", "telescopes", "products", "resources", "vocabulary"}),
    "event_facts": frozenset({"science", "io", "telescopes", "products", "vocabulary"}),
    "runtime": frozenset({"blocks", "vocabulary"}),
    "futures": frozenset({"runtime", "vocabulary"}),
    "observatory": frozenset({"runtime", "blocks", "vocabulary"}),
    "resources": frozenset({"blocks", "io", "registry", "vocabulary"}),
    "engines": BELOW_TASKS - {"blocks"} | {"products", "engines"},
    "tasks": BELOW_TASKS | SHARED_LAYERS | {"engines"},
    "blocks": frozenset({"blocks"}),
    "flows": frozenset(
        {"flows", "tasks", "runtime", "futures", "observatory", "aims", "products", "blocks", "vocabulary"}
    ),
    "deployments": frozenset({"deployments", "flows", "tasks", "engines"}) | BELOW_TASKS | SHARED_LAYERS,
}

# rooms of science by floor: a room imports rooms of lower floors only
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"arrays"}),
    frozenset({"headers", "images", "nights", "sources"}),
    frozenset({"astrometry", "calibration"}),
    frozenset({"masters", "photometry", "simulation", "skymaps", "subtraction"}),
    frozenset({"alerts", "candidates", "planning", "stacking"}),
)
# packages whose rooms must not import one another in a cycle
ROOM_PACKAGES = ("flows", "tasks", "tasks.science", "tasks.io", "deployments")
# most rooms hold 2 to 13; the command line has a file for each verb
MOST_FILES = 21

# library → the layers, or single modules, that may import it
LIBRARIES: Mapping[str, frozenset[str]] = {
    "prefect": frozenset({"flows", "tasks", "resources", "runtime", "futures", "observatory", "blocks", "deployments"}),
    "prefect_dask": frozenset({"runtime", "deployments"}),
    "dask": frozenset({"runtime", "tasks.runtime", "deployments"}),
    "distributed": frozenset({"runtime", "tasks.runtime", "deployments"}),
    "subprocess": frozenset({"tasks.programs.run"}),
    "multiprocessing": frozenset({"tasks.runtime"}),
    "pickle": frozenset(),
    "cupy": frozenset({"tasks.science.arrays"}),
    "cupyx": frozenset({"tasks.science.arrays"}),
    "sqlalchemy": frozenset({"registry"}),
    "alembic": frozenset({"registry"}),
    "slack_sdk": frozenset({"io", "blocks", "deployments"}),
    "webdav3": frozenset({"io", "blocks"}),
    "confluent_kafka": frozenset({"deployments"}),
}
NEVER_IN_FLOWS = frozenset({"numpy", "astropy", "scipy", "sep", "photutils", "matplotlib", "healpy", "cupy"})
IMPORT_BLOCK = ("import ", "from ", "#")
EXCUSES = ("slow start-up", "optional")
# only a warning: files are split by meaning
LARGEST_FILE = 500
LARGEST_FUNCTION = {"flows": 60, "": 40}


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A line that breaks a rule, and the rule."""

    module: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.what}"


def layer_of(module: str) -> str:
    """Return the layer of one of our modules."""
    if ".".join(module.split(".")[:2]) in VOCABULARY:
        return "vocabulary"
    if any(module == engine or module.startswith(f"{engine}.") for engine in ENGINES):
        return "engines"
    if module in SHARED:
        return module.rpartition(".")[2]
    parts = module.split(".")
    if parts[0] == "tasks" and len(parts) > 1 and parts[1] in LAW:
        return parts[1]
    return parts[0]


def modules(root: Path) -> dict[str, str]:
    """Return the source of all our modules by dotted name."""
    found = {}
    for package in ("flows", "tasks", "blocks", "deployments"):
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path.read_text(encoding="utf-8")
    return found


def imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """Yield every import statement with the dotted names that it may load."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node, f"{node.module}.{alias.name}"


def ours(name: str, known: frozenset[str]) -> str | None:
    """Return our module that contains a dotted name, or None for a library."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if (candidate := ".".join(parts[:length])) in known:
            return candidate
    return None


def check(module: str, source: str, known: frozenset[str]) -> list[Violation]:
    """Return all violations of the rules in one module."""
    tree = ast.parse(source)
    lines = source.splitlines()
    rules = (
        _own_imports,
        _upward_imports,
        _library_imports,
        _late_imports,
        _sizes,
        _dangerous_calls,
        _prefect_pitfalls,
    )
    return [violation for rule in rules for violation in rule(module, tree, lines, known)]


def _own_imports(module, tree, lines, known):
    allowed = LAW[layer_of(module)]
    for node, name in imports(tree):
        target = ours(name, known)
        if target is None or target in {"tasks", module}:
            continue
        if layer_of(target) not in allowed:
            yield Violation(module=module, line=node.lineno, what=f"{layer_of(module)} may not import {target}")


def _upward_imports(module, tree, lines, known):
    own = floor_of(module)
    for node, name in imports(tree):
        target = ours(name, known)
        if own is None or target is None or room_of(target, "tasks.science") == room_of(module, "tasks.science"):
            continue
        if (other := floor_of(target)) is not None and other >= own:
            yield Violation(module=module, line=node.lineno, what=f"floor {own} of science may not import {target}")


def floor_of(module: str) -> int | None:
    """Return the floor of a module of science, or None for any other module."""
    room = room_of(module, "tasks.science")
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


def room_of(module: str, package: str) -> str | None:
    """Return the subfolder or top-level module of ``package`` that contains a module."""
    if not module.startswith(f"{package}."):
        return None
    return module.removeprefix(f"{package}.").split(".")[0]


def room_cycles(sources: Mapping[str, str], package: str) -> list[tuple[str, ...]]:
    """Return the import cycles among the rooms of a package, each once."""
    known = frozenset(sources)
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        if (room := room_of(module, package)) is not None:
            found = {ours(name, known) for _, name in imports(ast.parse(source))}
            rooms = {room_of(target, package) for target in found if target is not None}
            graph.setdefault(room, set()).update(other for other in rooms if other not in {None, room})
    return _loops({room: others & graph.keys() for room, others in graph.items()})


def folder_sizes(root: Path) -> dict[str, int]:
    """Return the number of modules in each of our folders."""
    folders: dict[str, int] = {}
    for package in ("flows", "tasks", "blocks", "deployments"):
        for path in (root / package).rglob("*.py"):
            if path.name != "__init__.py":
                name = str(path.parent.relative_to(root))
                folders[name] = folders.get(name, 0) + 1
    return folders


def _library_imports(module, tree, lines, known):
    layer = layer_of(module)
    for node, name in imports(tree):
        library = name.split(".")[0]
        if library in LIBRARIES and not {layer, module} & LIBRARIES[library]:
            yield Violation(module=module, line=node.lineno, what=f"{layer} may not import the library {library}")
        if layer == "flows" and library in NEVER_IN_FLOWS:
            yield Violation(module=module, line=node.lineno, what=f"a flow may not import {library}")


def _late_imports(module, tree, lines, known):
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node, name in imports(function):
            # a comment above or beside a block of imports covers the whole block
            first, last = node.lineno - 1, node.lineno
            while first > 0 and lines[first - 1].strip().startswith(IMPORT_BLOCK):
                first -= 1
            while last < len(lines) and lines[last].strip().startswith(IMPORT_BLOCK):
                last += 1
            excuse = " ".join(lines[first:last])
            if not any(word in excuse for word in EXCUSES):
                yield Violation(module=module, line=node.lineno, what=f"import of {name} inside a function, unexcused")


def _sizes(module, tree, lines, known):
    if len(lines) > LARGEST_FILE:
        yield Violation(module=module, line=1, what=f"{len(lines)} lines; look for two files in it")
    limit = LARGEST_FUNCTION.get(layer_of(module), LARGEST_FUNCTION[""])
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (size := code_lines(node)) > limit:
            yield Violation(
                module=module, line=node.lineno, what=f"{node.name} has {size} lines of code; limit {limit}"
            )


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's body without its docstring."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def _dangerous_calls(module, tree, lines, known):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in {"os.system", "os.popen", "eval", "exec"}:
                yield Violation(module=module, line=node.lineno, what=f"call of {called}")
            if any(key.arg == "shell" and ast.unparse(key.value) != "False" for key in node.keywords):
                yield Violation(module=module, line=node.lineno, what="a process through a shell")
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "BaseException"):
            yield Violation(module=module, line=node.lineno, what="an except that catches everything")


def _prefect_pitfalls(module, tree, lines, known):
    layer = layer_of(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _decorators(module, layer, node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _method(node.value) == "submit":
            yield Violation(module=module, line=node.lineno, what="a submitted task whose future nobody keeps")
        if isinstance(node, ast.Call):
            yield from _calls(module, layer, node)


def _decorators(module, layer, node):
    for decorator in node.decorator_list:
        name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
        keywords = {key.arg for key in decorator.keywords} if isinstance(decorator, ast.Call) else set()
        if name in {"task", "prefect.task"}:
            if layer not in {"tasks", "observatory"}:
                yield Violation(module=module, line=node.lineno, what=f"a task outside the rooms of tasks: {node.name}")
            if "cache_policy" not in keywords:
                yield Violation(module=module, line=node.lineno, what=f"task {node.name} states no cache_policy")
            if "retries" in keywords and "retry_condition_fn" not in keywords:
                yield Violation(
                    module=module, line=node.lineno, what=f"task {node.name} retries whatever the error: no condition"
                )
            if "timeout_seconds" in keywords:
                yield Violation(
                    module=module, line=node.lineno, what=f"timeout_seconds of {node.name} stops no program on a worker"
                )
        if name in {"flow", "prefect.flow"} and layer != "flows":
            yield Violation(module=module, line=node.lineno, what=f"a flow outside flows/: {node.name}")
        if name in {"flow", "prefect.flow"} and "flow_run_name" not in keywords:
            yield Violation(module=module, line=node.lineno, what=f"flow {node.name} has no flow_run_name")


def _calls(module, layer, node):
    method = _method(node)
    if layer == "tasks" and method in {"submit", "map"} and not _is_pool(node):
        yield Violation(module=module, line=node.lineno, what=f".{method}() inside a task can deadlock the slots")
    if method == "submit":
        for value in [*node.args, *(key.value for key in node.keywords)]:
            if isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] == "unmapped":
                yield Violation(
                    module=module, line=node.lineno, what="unmapped() under .submit reaches Dask as a tuple"
                )


def _method(node: ast.Call) -> str | None:
    return node.func.attr if isinstance(node.func, ast.Attribute) else None


def _is_pool(node: ast.Call) -> bool:
    """Our threads inside one task are not Prefect tasks."""
    return isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in {"pool", "threads"}


def cycles(sources: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the import cycles among our modules, each once."""
    known = frozenset(sources)
    graph = {
        module: {
            target
            for _, name in imports(ast.parse(source))
            if (target := ours(name, known)) not in {None, module} and not module.startswith(f"{target}.")
        }
        for module, source in sources.items()
    }
    return _loops(graph)


def _loops(graph: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            loop = path[path.index(module) :]
            first = loop.index(min(loop))
            found.add(loop[first:] + loop[:first])
            return
        if module in done:
            return
        for target in sorted(graph[module]):
            walk(target, (*path, module))
        done.add(module)

    done: set[str] = set()
    for module in sorted(graph):
        walk(module, ())
    return sorted(found)
