"""Commands in the pages' code blocks: verbs, options and values are those of the code, deployments and targets exist."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex

import click
import pytest
import yaml
from support import documentation

from deployments import cli
from docs import generate

BLOCKS = [
    pytest.param(line.strip(), id=f"{path.stem}: {line.strip()[:60]}")
    for path in documentation.pages()
    for block in documentation.blocks(path.read_text("utf-8"), "sh")
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip() and not line.strip().startswith("#")
]


def check(line: str) -> None:
    """Raise or fail where a command of the documentation is none that the code takes."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    program = words[0].rpartition("/")[2]
    if program == "siren":
        check_siren(words[1:])
    elif program == "make":
        check_make(words[1:])
    elif program == "python":
        assert words[1] == "-m", line
        assert importlib.util.find_spec(words[2]), line
    elif words[:3] == ["prefect", "deployment", "run"]:
        check_deployment(words[3], words[4:])
    else:
        assert words[:4] == ["prefect", "worker", "start", "--pool"], line
        assert words[4] in {"alerts", "nights"}, line


def check_siren(words: list[str]) -> None:
    command: click.Command = cli.Verbs(name="siren")
    context = click.Context(command, info_name="siren")
    while isinstance(command, click.Group):
        inner = command.get_command(context, words[0])
        assert inner is not None, f"no verb {words[0]}"
        command, context, words = inner, click.Context(inner, parent=context, info_name=words[0]), words[1:]
    values, rest, _ = command.make_parser(context).parse_args(args=list(words))
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    for parameter in command.params:
        value = values.get(parameter.name)
        assert value or not parameter.required, f"{parameter.name} is missing"
        # files of the examples do not exist; everything else must be a value that the option takes
        if value and isinstance(parameter, click.Option) and not isinstance(parameter.type, click.Path):
            parameter.type_cast_value(context, value)
    assert not rest, f"{rest} beside {[each.name for each in arguments]}"


def check_make(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (generate.ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(words) <= targets


def check_deployment(name: str, words: list[str]) -> None:
    document = yaml.safe_load((generate.ROOT / "prefect.yaml").read_text("utf-8"))
    known = {
        f"{each['entrypoint'].rpartition('.')[2]}/{each['name']}": each["entrypoint"]
        for each in document["deployments"]
    }
    assert name in known
    parameters = _parameters(known[name])
    for flag, given in zip(words[::2], words[1::2], strict=True):
        assert flag == "-p"
        assert given.partition("=")[0] in parameters, given


@pytest.mark.parametrize("line", BLOCKS)
def test_a_command_of_the_documentation_is_one_that_the_code_takes(line):
    check(line)


@pytest.mark.parametrize(
    "line",
    [
        "siren reduce observatory",
        "siren reduce observatory --out products --no-such-option",
        "siren reduce observatory --out products --until dinner",
        "siren nosuchverb",
        "siren doctor too many words",
        "make dinner",
        "prefect deployment run 'night/none'",
        "prefect deployment run 'night/prod' -p nosuchparameter=1",
        "python -m deployments.nothing",
    ],
)
def test_a_wrong_command_would_be_found(line):
    with pytest.raises((AssertionError, click.ClickException)):
        check(line)


def test_the_verbs_of_the_readme_exist():
    text = (generate.ROOT / "README.md").read_text("utf-8")
    named = [span.split()[1] for span in documentation.spans(text) if re.match(r"siren [a-z]", span)]

    assert len(set(named)) == 6
    assert set(named) <= set(cli.VERBS)


def test_yaml_in_the_documentation_can_be_read_and_its_parameters_exist():
    [block] = documentation.blocks((generate.DOCS / "first-alert.md").read_text("utf-8"), "yaml")
    [deployment] = yaml.safe_load(block)

    assert set(deployment["parameters"]) <= _parameters(deployment["entrypoint"])


def _parameters(entrypoint: str) -> set[str]:
    module, _, name = entrypoint.rpartition(".")
    source = (generate.ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
    [flow] = [each for each in ast.parse(source).body if isinstance(each, ast.FunctionDef) and each.name == name]
    return {each.arg for each in (*flow.args.args, *flow.args.kwonlyargs)}
