"""Create the table of images."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"

BIG_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "images",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", BIG_INTEGER, nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("path", sa.String(255), nullable=False),
        sa.Column("content_type", sa.String(50), nullable=False),
        sa.Column("size", BIG_INTEGER, nullable=False),
        sa.Column("width", BIG_INTEGER, nullable=False),
        sa.Column("height", BIG_INTEGER, nullable=False),
        sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.UniqueConstraint("path", name="uq_images_path"),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name="fk_images_owner_id_users", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_images_owner_id_uploaded_at_id", "images", ["owner_id", "uploaded_at", "id"]
    )


def downgrade() -> None:
    """Drop the table; the pictures stay in MEDIA_DIR."""
    op.drop_table("images")
