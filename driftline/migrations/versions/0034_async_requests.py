"""asynchronous invocations

Revision: 0034
Follows: 0033
"""

import sqlalchemy as sa
from alembic import op


revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "serving_async_requests",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("endpoint", sa.String(63), nullable=False),
        sa.Column("inference_id", sa.String(64), nullable=False),
        sa.Column("input_location", sa.Text(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("output_location", sa.Text(), nullable=False),
        sa.Column("failure_location", sa.Text(), nullable=False),
        sa.Column("timeout_s", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_owner", sa.String(36), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_serving_async_requests")),
    )
    op.create_index(
        op.f("ix_serving_async_requests_status_endpoint_received_at"),
        "serving_async_requests", ["status", "endpoint", "received_at"],
    )
    op.create_index(
        op.f("ix_serving_async_requests_ended_at"), "serving_async_requests", ["ended_at"]
    )


def downgrade() -> None:
    op.drop_index(
        op.f("ix_serving_async_requests_ended_at"), table_name="serving_async_requests"
    )
    op.drop_index(
        op.f("ix_serving_async_requests_status_endpoint_received_at"),
        table_name="serving_async_requests",
    )
    op.drop_table("serving_async_requests")
