"""The import law and the pitfalls of Prefect, checked on the syntax tree."""

from __future__ import annotations

import pytest
from support import architecture

PLANTED = {
    "tasks.science.planted": ("import prefect", "may not import the library prefect"),
    "tasks.science.images.planted": (
        "from tasks.science.stacking import coadding",
        "floor 1 of science may not import",
    ),
    "tasks.io.planted": ("from tasks.science import arrays", "io may not import tasks.science.arrays"),
    "tasks.programs.planted": ("import subprocess", "may not import the library subprocess"),
    "tasks.planted": ("from flows.nights import night", "tasks may not import flows.nights.night"),
    "blocks.planted": ("from tasks import records", "blocks may not import tasks.records"),
    "flows.planted": ("import numpy as np", "a flow may not import numpy"),
    "flows.planted_science": ("from tasks.science import arrays", "flows may not import tasks.science.arrays"),
    "tasks.science.planted_gpu": ("import cupy", "may not import the library cupy"),
    "tasks.science.planted_late": ("def f():\n    import scipy\n", "inside a function, unexcused"),
    "tasks.planted_task": ("@task\ndef f() -> None: ...\n", "states no cache_policy"),
    "tasks.planted_retry": ("@task(cache_policy=NO_CACHE, retries=2)\ndef f() -> None: ...\n", "no condition"),
    "tasks.planted_timeout": (
        "@task(cache_policy=NO_CACHE, timeout_seconds=2)\ndef f() -> None: ...\n",
        "stops no program",
    ),
    "tasks.planted_submit": ("def f(other):\n    x = other.submit(1)\n    return x\n", "can deadlock"),
    "flows.planted_lost": ("def f(other):\n    other.submit(1)\n", "whose future nobody keeps"),
    "flows.planted_unmapped": ("def f(other):\n    return other.submit(unmapped(1))\n", "reaches Dask as a tuple"),
    "flows.planted_name": ("@flow\ndef f() -> None: ...\n", "has no flow_run_name"),
    "tasks.programs.run_planted": ("import os\nos.system('true')\n", "call of os.system"),
    "tasks.io.planted_shell": ("run(['x'], shell=True)\n", "through a shell"),
    "tasks.io.planted_except": ("try:\n    x = 1\nexcept:\n    pass\n", "catches everything"),
    "tasks.io.planted_long": ("x = 1\n" * 501, "look for two files in it"),
    "tasks.io.planted_function": ("def f():\n" + "    x = 1\n" * 41, "41 lines of code"),
}


@pytest.fixture(scope="module")
def sources(repository):
    return architecture.modules(repository)


def test_every_module_keeps_the_law(sources):
    known = frozenset(sources)
    broken = [str(v) for module, source in sources.items() for v in architecture.check(module, source, known)]
    assert not broken, "\n".join(broken)


def test_there_is_no_import_cycle(sources):
    assert architecture.cycles(sources) == []


@pytest.mark.parametrize("module", sorted(PLANTED))
def test_a_planted_violation_is_found(sources, module):
    source, expected = PLANTED[module]
    known = frozenset(sources) | {module}
    found = [violation.what for violation in architecture.check(module, source, known)]
    assert any(expected in what for what in found), found


@pytest.mark.parametrize("house", architecture.HOUSES)
def test_no_room_imports_one_that_imports_it(sources, house):
    assert architecture.room_cycles(sources, house) == []


def test_every_room_of_science_has_its_floor(sources):
    rooms = {architecture.room_of(module, "tasks.science") for module in sources} - {None}
    assert rooms == frozenset().union(*architecture.FLOORS)


def test_no_folder_is_too_full_to_be_read(repository):
    sizes = architecture.folder_sizes(repository)
    assert {name: size for name, size in sizes.items() if size > architecture.MOST_FILES} == {}


def test_a_planted_cycle_of_rooms_is_found():
    sources = {"tasks.a.x": "from tasks.b import y", "tasks.b.y": "from tasks.a import z", "tasks.a.z": ""}
    assert architecture.room_cycles(sources, "tasks") == [("a", "b")]


def test_a_planted_cycle_is_found():
    assert architecture.cycles({"tasks.a": "from tasks import b", "tasks.b": "from tasks import a"}) == [
        ("tasks.a", "tasks.b")
    ]


def test_every_entrypoint_of_a_deployment_is_a_module_path(repository):
    import yaml

    specification = yaml.safe_load((repository / "prefect.yaml").read_text(encoding="utf-8"))
    for deployment in specification["deployments"]:
        assert "/" not in deployment["entrypoint"], "a file entrypoint breaks unpickling on the Dask scheduler"
        assert deployment["entrypoint"].startswith("flows.")


def test_every_discipline_of_the_table_has_its_package(repository):
    for layer in ("science", "programs", "io", "registry", "telescopes", "policies"):
        assert (repository / "tasks" / layer / "__init__.py").exists()
