"""An app whose tasks leave rows behind, so that lost or doubled work shows."""
