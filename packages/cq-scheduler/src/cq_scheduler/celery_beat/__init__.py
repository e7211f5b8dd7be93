"""Schedules that are carried over from the tables of django-celery-beat."""
