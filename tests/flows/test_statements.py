"""What the flow ``respond`` asks of the registry for one notice, and how often it reads a sky map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import river, stages, statements

# with delivery to Slack and upload to WebDAV, BEGIN included; without Slack's pace, which takes two more for each message
MOST_STATEMENTS = 60
NOTICES = (
    "S241102br-preliminary.json",
    "S241102br-update.json",
    "swift_bat_type61.xml",
    "S241004ap-preliminary.json",
    "S241004ap-significant-edited.json",
    "S241126dm-retraction.json",
)


def costs(root: Path, notices: list[Path]) -> list[dict[str, Any]]:
    """Respond to notices as a worker does; return what each cost."""
    with stages.staged(root / "stage") as stage:
        for notice in notices:
            stages.bring(stage, notice.read_bytes())
        process = river.start(statements.count, stage.river, names=root / "counts")
        process.join(300)
        assert process.exitcode == 0
        assert stage.unsent() == 0
        assert len(stage.slack.messages) > 0
        assert stage.dav.files()
    return [json.loads(line) for line in (root / "counts").read_text().splitlines()]


@pytest.fixture(scope="module")
def counted(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return costs(tmp_path_factory.mktemp("cost"), [shared_data / "notices" / name for name in NOTICES])


def test_a_notice_makes_at_most_sixty_statements(counted: list[dict[str, Any]]) -> None:
    assert len(counted) == len(NOTICES)
    for cost in counted:
        total = sum(cost["statements"].values())
        listed = "\n".join(f"{number} {name}" for name, number in cost["statements"].items())
        assert total <= MOST_STATEMENTS, f"{cost['event']}: {total}\n{listed}"


def test_each_sky_map_is_read_once_for_a_notice(counted: list[dict[str, Any]]) -> None:
    # its own, for an update also another one before it; the edited notice has the same map, a burst and a retraction have none
    assert [cost["maps"] for cost in counted] == [[1], [1, 1], [], [1], [1], []]
