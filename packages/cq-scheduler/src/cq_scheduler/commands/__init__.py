"""The verbs of ``manage.py cqscheduler``, one module for each group of them."""
