"""Index the costs of the password hashes, since a server reads the highest one at its start."""

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    """Create the index."""
    op.create_index("ix_users_hash_cost", "users", [sa.text("substr(password_hash, 5, 2)")])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_users_hash_cost", "users")
