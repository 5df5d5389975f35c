"""Stage 8: a chat in real time (requirements 8.1 to 8.7)."""
