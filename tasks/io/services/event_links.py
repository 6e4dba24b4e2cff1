"""Links of an event: its products and page in our store, and public pages about it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from tasks import naming
from tasks.records import Notice


def of_event(notice: Notice, *, store_url: str = "", templates: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an event's links by label.

    Parameters
    ----------
    notice
        A notice of the event.
    store_url
        Public address of the product store; empty for none.
    templates
        Templates of public pages by label, with ``{id}``, ``{mission}`` and ``{time}`` (T0 in whole seconds). A template
        with a field that the notice lacks is skipped, as is one whose label the notice has a link for.
    """
    given = {label.lower() for label in notice.urls}
    public = {label: _filled(template, notice) for label, template in (templates or {}).items()}
    links = {label: url for label, url in public.items() if url and label.lower() not in given}
    base = store_url.rstrip("/")
    if base:
        links["Products"] = f"{base}/{quote(naming.StoreTree.event(notice))}"
        links["Event page"] = f"{base}/{quote(naming.StoreTree.page(notice))}"
    return links


def _filled(template: str, notice: Notice) -> str:
    values = {
        "id": notice.event_id,
        "mission": notice.mission,
        "time": notice.time.strftime("%Y-%m-%dT%H:%M:%S") if notice.time else "",
    }
    url = template
    for name, value in values.items():
        if f"{{{name}}}" in template and not value:
            return ""
        url = url.replace(f"{{{name}}}", quote(value.encode("utf-8", "replace"), safe=":"))
    return url
