from django.contrib import admin
from django.urls import path

from cq_admin.contrib.unfold import register

register(admin.site)
urlpatterns = [path("admin/", admin.site.urls)]
