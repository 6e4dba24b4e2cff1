"""The task that writes an event's page and queues it for the store."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products, resources
from tasks.io.pages import event_page
from tasks.messages import event_facts, outgoing
from tasks.records import Home
from tasks.science.planning import plan_diff


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="page-{slug}")
def publish_page(slug: str, home: Home) -> Path:
    """Write an event's page from all that is known of it and put it into the outbox."""
    with resources.registry(home) as registry:
        known = registry.history(slug)
        alert = known.newest.alert
        page = naming.AlertTree(root=home.root).page(alert.notice)
        pictures = sorted(page.parent.rglob("*.png"))
        html = event_page.render(
            known,
            burst=event_facts.burst(known),
            pictures=pictures,
            links=resources.links_of(home, alert),
            changed=plan_diff.of_history(known),
            overlaps=event_facts.overlaps_of(known),
        )
        products.write_text(page, html)
        with registry.begin() as session:
            outgoing.enqueue_files(session, slug, {naming.StoreTree.page(alert.notice): page})
    return page
