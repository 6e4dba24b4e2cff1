"""Links of an event from templates."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from support import alerts

from blocks import PublicLinks
from tasks.io.messages import event_text
from tasks.io.services import event_links


def test_a_merger_has_links_to_skyportal_gracedb_gcn_and_our_store() -> None:
    notice = alerts.gw(urls={}).notice
    found = event_links.of_event(notice, store_url="https://cloud.example/x/", templates=PublicLinks().templates("gw"))
    assert found == {
        "GraceDB": "https://gracedb.ligo.org/superevents/S241102br/view/",
        "SkyPortal": "https://skyportal-icare.ijclab.in2p3.fr/gcn_events/2024-11-02T12:40:58",
        "GCN": "https://gcn.nasa.gov/circulars?query=S241102br",
        "Products": "https://cloud.example/x/Candidates/GW/S241102br",
        "Event page": "https://cloud.example/x/Candidates/GW/S241102br/index.html",
    }
    text = event_text.top(event_text.TopMessageFacts(alert=alerts.gw(urls={}), links=found)).blocks
    assert all(url in text for url in found.values())


def test_a_burst_has_no_gracedb_and_its_own_skyportal() -> None:
    found = event_links.of_event(alerts.grb().notice, templates=PublicLinks().templates("grb"))
    assert found["SkyPortal"].endswith("/source/1423875")
    assert "GraceDB" not in found


def test_a_link_that_the_notice_gives_or_that_lacks_a_value_is_left_out() -> None:
    templates = PublicLinks().templates("gw")
    assert "GraceDB" not in event_links.of_event(alerts.gw().notice, templates=templates)
    assert "SkyPortal" not in event_links.of_event(alerts.gw(time=None).notice, templates=templates)
    assert event_links.of_event(alerts.gw().notice) == {}


def test_templates_are_configured_and_checked() -> None:
    block = PublicLinks(gcn="", skyportal_gw="https://sky.example/{mission}/{id}")
    found = event_links.of_event(alerts.gw("S1/../x y", urls={}).notice, templates=block.templates("gw"))
    assert found["SkyPortal"] == "https://sky.example/LVK/S1%2F..%2Fx%20y"
    assert "GCN" not in found
    for bad in ("ftp://x/{id}", "https://x/{0.__class__}", "javascript:alert(1)"):
        with pytest.raises(ValidationError, match="placeholders"):
            PublicLinks(gcn=bad)
