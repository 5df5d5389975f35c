"""Roles: what a user may do beyond looking."""

from enum import StrEnum


class Role(StrEnum):
    """The roles, from the fewest rights to the most: each has all the rights of those before."""

    USER = "user"  # comments
    AUTHOR = "author"  # also writes posts
    ADMIN = "admin"  # also does all of it to anyone's, and sets roles

    def includes(self, other: "Role") -> bool:
        """Return whether this role has all the rights of the other."""
        # TODO 7.3: Roles admin, author and user have different rights
        raise NotImplementedError("TODO 7.3: Roles admin, author and user have different rights")
