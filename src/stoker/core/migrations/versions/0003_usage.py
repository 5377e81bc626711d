"""What each association has used, faded: shares are judged by it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "association_usage",
        sa.Column("association_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cpu_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("association_id"),
    )
