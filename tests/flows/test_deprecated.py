"""Keywords of the last release still work, with a warning, for calls and for parameters that a server has stored."""

from __future__ import annotations

import pytest
from prefect import flow
from prefect.utilities.callables import parameter_schema

from flows.deprecated import block_keywords
from flows.nights.night import night
from tasks.records import Blocks


@flow(name="say", flow_run_name="say-{blocks.registry}")
@block_keywords("registry", "store")
def say(number: int, *, blocks: Blocks = Blocks()) -> tuple[int, Blocks]:
    """Return what it was given.

    Args:
        number: A number.
        blocks: Names of blocks.
    """
    return number, blocks


def test_an_old_keyword_becomes_a_field_of_blocks_and_warns():
    with pytest.warns(DeprecationWarning, match=r"registry='' is deprecated: give blocks=Blocks\(registry=''\)"):
        assert say.fn(3, registry="") == (3, Blocks(registry=""))


def test_an_old_keyword_adds_to_the_blocks_that_are_given():
    with pytest.warns(DeprecationWarning, match="store="):
        assert say.fn(3, blocks=Blocks(slack=""), store="here") == (3, Blocks(slack="", store="here"))


def test_the_new_way_warns_of_nothing():
    assert say.fn(3, blocks=Blocks(registry="other")) == (3, Blocks(registry="other"))


def test_a_word_that_never_was_a_keyword_is_refused():
    with pytest.raises(TypeError, match="slack"):
        say.fn(3, slack="")


def test_stored_parameters_of_an_old_deployment_are_valid():
    assert say.validate_parameters({"number": 3, "registry": "mine"})["registry"] == "mine"
    schema = parameter_schema(night)
    assert {"blocks", "observatory", "cluster", "registry", "slack"} <= schema.properties.keys()
    assert schema.properties["slack"]["description"] == "Deprecated; a field of blocks."
    assert schema.required == ["night"]


def test_the_form_describes_each_block():
    fields = parameter_schema(night).definitions["Blocks"]["properties"]
    assert fields["registry"]["description"].startswith("Block with the registry's database")
