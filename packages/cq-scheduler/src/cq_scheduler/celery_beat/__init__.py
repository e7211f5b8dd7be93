"""The import of schedules from the tables of django-celery-beat."""
