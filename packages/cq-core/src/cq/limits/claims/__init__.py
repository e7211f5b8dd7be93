"""The claims from lanes: whose turn it is, what the keys allow, and what becomes of a lane."""
