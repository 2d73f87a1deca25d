"""What Alembic runs: the tables of every room, on the connection that it is handed."""

from __future__ import annotations

from alembic import context

from driftline.alerts.tables import metadata as alerts
from driftline.monitors.tables import metadata as monitors
from driftline.serving.tables import metadata as serving

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=[alerts, monitors, serving],
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
