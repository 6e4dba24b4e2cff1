"""One event and one night: which of the night's candidates lie where the sky map says."""

from __future__ import annotations

from datetime import date

from prefect import flow

from tasks import observatory as tasks_observatory
from tasks.alerts import registration
from tasks.follow import observed_tiles, ranking
from tasks.messages import delivery, event_page
from tasks.records import Ranking


@flow(name="follow", flow_run_name="follow-{event_id}-{night}")
def follow(
    event_id: str,
    night: date,
    *,
    observatory: str = "observatory",
    registry: str = "registry",
    slack: str = "slack",
    store: str = "store",
) -> Ranking:
    """Rank a night's candidates against an event's newest sky map and write the ranking beside the event's page.

    Tiles of the event's plans that the night observed are marked as such: the next plan leaves them out.

    Args:
        event_id: Name of the event's folder: ``S250910b``.
        night: Date of the evening.
        observatory: Name of the block with the observatory's places.
        registry: Name of the block with the registry's database; empty: a file beside the alerts.
        slack: Name of the block with the Slack workspace; empty: messages are written to a folder.
        store: Name of the block with the product store; empty: a folder beside the alerts.
    """
    places = tasks_observatory.places(observatory)
    event = registration.newest(event_id, root=places.alert_root, registry=registry)

    observed_tiles.mark_night(event_id, night, places, root=places.alert_root, registry=registry)
    ranked = ranking.rank(event.alert, night, places)
    ranking.write(ranked, event.alert, places.alert_root)

    event_page.publish_page(event_id, root=places.alert_root, registry=registry, store=store)
    delivery.upload(root=places.alert_root, registry=registry, store=store)
    delivery.deliver(root=places.alert_root, registry=registry, workspace=slack)
    return ranked
