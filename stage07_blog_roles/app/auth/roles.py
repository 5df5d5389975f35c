"""The roles of users, which give them rights."""

from enum import StrEnum


class Role(StrEnum):
    """The roles, from the fewest rights to the most: each has all the rights of those before."""

    USER = "user"  # comments
    AUTHOR = "author"  # also writes posts
    ADMIN = "admin"  # also changes everyone's posts and comments, and sets roles

    def includes(self, other: "Role") -> bool:
        """Return whether this role has all the rights of the other."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(other)
