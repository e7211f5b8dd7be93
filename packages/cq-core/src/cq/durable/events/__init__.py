"""What many wait for, and what people are asked."""
