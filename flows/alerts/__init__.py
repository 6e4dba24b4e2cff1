"""The alert river: respond to a notice, plan, revisit, backfill."""
