"""The verbs of ``manage.py cq``, one module for each group of them."""
