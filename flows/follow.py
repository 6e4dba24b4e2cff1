"""Follow: rank the candidates of one night against the sky map of one event."""

from __future__ import annotations

from datetime import date

from prefect import flow

from flows.deprecated import block_keywords
from tasks import observatory
from tasks.alerts import registration
from tasks.follow import observed_tiles, ranking
from tasks.messages import delivery, event_page
from tasks.records import Blocks, Ranking


@flow(name="follow", flow_run_name="follow-{event_id}-{night}")
@block_keywords("observatory", "registry", "slack", "store")
def follow(event_id: str, night: date, *, blocks: Blocks = Blocks()) -> Ranking:
    """Rank a night's candidates against an event's newest sky map and write the ranking beside the event's page.

    Mark the tiles of the event's plans that the night observed; the next plan leaves them out.

    Args:
        event_id: Name of the event's folder: ``S250910b``.
        night: Date of the evening.
        blocks: Names of the blocks with places, registry, Slack and store.
    """
    places = observatory.places(blocks)
    home = observatory.home(blocks)
    event = registration.load_event(event_id, home)

    observed_tiles.mark_night(event_id, night, places, home)
    ranked = ranking.rank(event.alert, night, places)
    ranking.write(ranked, event.alert, home.root)

    event_page.publish_page(event_id, home)
    uploads = delivery.upload(home)
    messages = delivery.deliver(home)
    event_page.show_losses((messages, uploads), home)
    return ranked
