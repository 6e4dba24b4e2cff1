"""One event and one night: which of the night's candidates lie where the sky map says."""

from __future__ import annotations

from datetime import date

from prefect import flow

from tasks import observing, publishing, ranking
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

    Parameters
    ----------
    event_id
        Name of the event's folder: ``S250910b``.
    night
        Date of the evening.
    observatory, registry, slack, store
        Names of blocks; an empty name of the last three means a file or folder beside the alerts.
    """
    places = observing.places(observatory)
    event = publishing.newest(event_id, root=places.alert_root, registry=registry)

    ranked = ranking.rank(event.alert, night, places)
    ranking.write(ranked, event.alert, places.alert_root)

    publishing.publish_page(event_id, root=places.alert_root, registry=registry, store=store)
    publishing.upload(root=places.alert_root, registry=registry, store=store)
    publishing.deliver(root=places.alert_root, registry=registry, workspace=slack)
    return ranked
