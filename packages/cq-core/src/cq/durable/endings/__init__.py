"""The ends of a durable task behind which there is more: it begins anew, or is taken back."""
