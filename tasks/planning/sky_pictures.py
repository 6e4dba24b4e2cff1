"""Tasks that draw a sky map for messages and pages."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.io.pages import sky_map_plots
from tasks.planning import aims
from tasks.records import Alert
from tasks.science.skymaps import sky_pictures


@task(cache_policy=NO_CACHE, task_run_name="picture-{target.name}")
def draw_sky_map(source: Path, target: Path, title: str, subtitle: str = "") -> Path:
    """Draw a small picture of a notice's sky map for messages; return the path of the PNG."""
    picture = sky_pictures.picture(aims.read_aim(source).sky_map, title=title, subtitle=subtitle)
    products.write_bytes(target, sky_map_plots.sky_map(picture))
    return target


@task(cache_policy=NO_CACHE, task_run_name="picture-{alert.notice.event_id}")
def draw_alert(alert: Alert, root: Path) -> Path | None:
    """Draw an alert's best sky map for its messages and page; None if it has no map."""
    best = alert.best_map
    if best is None or best.path is None:
        return None
    notice = alert.notice
    target = naming.AlertTree(root=root).visit(alert) / "skymap.png"
    subtitle = f"{notice.alert_type.title()}, 90 % area {best.area90_deg2:,.0f} deg²"
    return draw_sky_map.fn(best.path, target, notice.event_id, subtitle)
