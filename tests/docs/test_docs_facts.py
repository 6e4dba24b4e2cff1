"""The pages against the code: options, policies, telescopes, checks, bits, flags, header cards, columns."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import tomllib

import pytest
import yaml
from support import documentation

from deployments.cli import VERBS
from deployments.server import blocks_from_environment, doctor
from docs import generate
from tasks import options, policies, telescopes
from tasks.programs import source_extractor
from tasks.records import Comparison, MaskBit, QaBit
from tasks.records.telescopes import Telescope
from tasks.science.alerts import policy_variables
from tasks.science.candidates import flags
from tasks.science.candidates.measurement import Detections
from tasks.science.stacking import stack_members

# modules that put cards into headers
CARD_WRITERS = (
    "tasks/science/headers/provenance.py",
    "tasks/science/masters/quality.py",
    "tasks/science/photometry/photometry_cards.py",
    "tasks/science/photometry/image_photometry.py",
    "tasks/science/stacking/stack_members.py",
    "tasks/science/astrometry/wcs_checks.py",
    "tasks/science/masters/kinds.py",
    "tasks/science/stacking/stack_cards.py",
    "tasks/science/subtraction/difference_cards.py",
    "tasks/reduction/engines/master_builder.py",
)


def _entrypoints() -> list[str]:
    document = yaml.safe_load((generate.ROOT / "prefect.yaml").read_text("utf-8"))
    return sorted({each["entrypoint"] for each in document["deployments"]})


@pytest.mark.parametrize("name", options.__all__)
def test_the_options_page_has_every_option_with_its_meaning(name):
    rows = _rows(documentation.section(documentation.page("options.md"), name))

    assert [row[0] for row in rows] == [f"`{each.name}`" for each in dataclasses.fields(getattr(options, name))]
    assert all(row[3] for row in rows)


def test_the_options_page_gives_defaults_as_they_are():
    rows = {
        row[0]: row[2] for row in _rows(documentation.section(documentation.page("options.md"), "CalibrateOptions"))
    }
    usual = options.CalibrateOptions()

    assert rows["`clip_sigma`"] == f"`{usual.clip_sigma:g}`"
    assert rows["`combine`"] == f"`{usual.combine}`"
    assert rows["`archive`"] == f"`{str(usual.archive).lower()}`"
    assert rows["`flat_signal`"] == "`{:g}, {:g}`".format(*usual.flat_signal)


@pytest.mark.parametrize("entrypoint", _entrypoints())
def test_the_parameters_of_a_flow_on_the_options_page_are_those_that_it_takes(entrypoint):
    module, _, name = entrypoint.rpartition(".")
    taken = inspect.signature(getattr(importlib.import_module(module), name).fn).parameters
    rows = _rows(documentation.section(documentation.page("options.md"), name))

    assert {row[0].strip("`") for row in rows} <= set(taken)
    assert {each for each, value in taken.items() if value.default is value.empty} <= {
        row[0].strip("`") for row in rows
    }
    assert all(row[2] for row in rows)


def test_the_command_line_has_every_verb():
    page = documentation.page("command-line.md")

    assert re.findall(r"^## siren (\S+)$", page, re.MULTILINE) == list(VERBS)


def test_every_operand_of_policies_is_on_their_page():
    named = documentation.spans(documentation.section(documentation.page("policies.md"), "Operands"))

    assert set(policy_variables.TABLE) <= named
    assert {f"{family}.X" for family in policy_variables.FAMILIES} <= named


def test_the_operands_page_names_none_that_does_not_exist():
    for row in _rows(documentation.section(documentation.page("policies.md"), "Operands")):
        for operand in re.findall(r"`([^`]+)`", row[0]):
            policy_variables.check(operand)


def test_every_comparison_is_on_the_page_of_policies():
    named = documentation.spans(documentation.section(documentation.page("policies.md"), "Conditions"))

    assert {each.value for each in Comparison} <= named


def test_the_policy_of_the_page_can_be_read_and_its_keys_are_all_there_are(tmp_path):
    page = documentation.page("policies.md")
    [text] = documentation.blocks(page, "toml")
    (tmp_path / "page.toml").write_text(text)
    keys = {row[0].strip("`") for row in _rows(documentation.section(page, "The file"))}

    assert len(policies.load(tmp_path / "page.toml").rules) == 3
    assert keys == set(policies._RuleFile.model_fields)


def test_the_telescope_of_the_page_can_be_read():
    [text] = documentation.blocks(documentation.page("telescopes.md"), "toml")

    assert telescopes.parse(text.encode(), source="page").name == tomllib.loads(text)["name"]


def test_every_key_of_a_telescope_is_on_its_page():
    page = documentation.page("telescopes.md")
    named = documentation.spans(page) | set(re.findall(r"^### `\[+(\w+)\]+`$", page, re.MULTILINE))

    assert {each.name for each in dataclasses.fields(Telescope)} <= named
    assert set(telescopes.names()) <= named


def test_every_check_of_the_doctor_has_a_section_in_troubleshooting():
    checks = documentation.section(documentation.page("troubleshooting.md"), "The checks")

    assert re.findall(r"^### (\S+)$", checks, re.MULTILINE) == [each.name for each in doctor.all_probes()]


@pytest.mark.parametrize(("title", "bits"), [("Mask bits", MaskBit), ("Quality bits", QaBit)])
def test_every_bit_is_named_with_its_value_and_meaning(title, bits):
    rows = _rows(documentation.section(documentation.page("products.md"), title))

    assert [(row[0], row[1]) for row in rows] == [(str(bit.value), f"`{bit.name}`") for bit in bits]
    assert all(row[2] for row in rows)


def test_every_flag_of_candidates_is_named_with_its_number():
    rows = _rows(documentation.section(documentation.page("products.md"), "Flags of candidates"))

    assert [(row[0], row[1]) for row in rows] == [(f"`flag_{n}`", f"`{name}`") for n, name in enumerate(flags.NAMES)]
    assert all(row[2] for row in rows)


@pytest.mark.parametrize("module", CARD_WRITERS)
def test_every_header_card_that_the_code_writes_is_on_the_page_of_products(module):
    cards = set(documentation.declared_cards((generate.ROOT / module).read_text("utf-8")))

    assert cards
    assert not documentation.undocumented(cards, _cards())


def test_the_cards_that_a_stack_takes_over_are_on_the_page_of_products():
    assert not documentation.undocumented(set(stack_members.COPIED), documentation.section(_cards(), "Stacks"))


def test_cards_and_files_that_are_not_documented_would_be_found():
    assert documentation.undocumented({"NOSUCH", "QAFLAG", "ZP_7X"}, _cards()) == {"NOSUCH", "ZP_7X"}
    files = {"log/7DT01.log", "log/other.txt", "masters/7DT01/2026-01-15/surprise.fits"}
    assert documentation.undocumented_files(files, _files()) == files - {"log/7DT01.log"}


def test_every_column_of_detections_is_on_the_page_of_products():
    names = {each.name for each in dataclasses.fields(Detections)}
    section = documentation.section(documentation.page("products.md"), "Detections on a difference")

    assert not documentation.undocumented(names, section)


def test_every_column_that_source_extractor_is_asked_for_is_on_the_page_of_products():
    section = documentation.section(documentation.page("products.md"), "Photometric catalogue")

    assert not documentation.undocumented(
        set(source_extractor.PHOTOMETRY_COLUMNS) | {"CLASS_STAR", "IMAFLAGS_ISO"}, section
    )


def test_every_field_of_a_block_is_on_the_page_of_deployment_with_its_variable():
    named = documentation.spans(documentation.section(documentation.page("deploy.md"), "Blocks"))

    for kind in blocks_from_environment.block_types():
        own = set(kind.model_fields) - set(blocks_from_environment.Block.model_fields)
        assert {blocks_from_environment.variable(kind, field) for field in own} <= named


def test_variables_of_the_pages_are_those_of_blocks_or_of_the_code():
    known = {
        blocks_from_environment.variable(kind, field)
        for kind in blocks_from_environment.block_types()
        for field in kind.model_fields
    }
    known |= {"SIREN_HOME", telescopes.OWN_FOLDER, blocks_from_environment.OPERATORS_WEBHOOK}
    for path in documentation.pages():
        named = set(re.findall(r"SIREN_[A-Z_]*[A-Z]", path.read_text("utf-8")))
        assert not {each for each in named if each != "SIREN_TEST_KAFKA"} - known, path.name


def test_paths_of_code_that_the_pages_name_exist():
    for path in documentation.pages():
        for span in documentation.spans(path.read_text("utf-8")):
            if re.match(r"(flows|tasks|blocks|deployments|tests|scripts)/[\w/.*-]+$", span):
                place = span.replace("test_gate_FILE", "test_gate_*").replace("test_night_FILE", "test_night_*")
                assert list(generate.ROOT.glob(place.rstrip("/"))), f"{path.name}: {span}"


def _cards() -> str:
    return documentation.section(documentation.page("products.md"), "Header cards")


def _files() -> str:
    return documentation.section(documentation.page("products.md"), "Files of a night")


def _rows(section: str) -> list[list[str]]:
    """Return the cells of a section's first table, without its heading."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    start = next(number for number, row in enumerate(cells) if set(row[0]) <= set("-:")) if cells else 0
    ends = [number for number, row in enumerate(cells) if number > start and set(row[0]) == {"-"}]
    return cells[start + 1 : ends[0] - 1 if ends else None]
