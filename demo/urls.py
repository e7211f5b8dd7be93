from django.contrib import admin
from django.urls import include, path
from shop import views

urlpatterns = [
    path("", views.show, name="shop"),
    path("order/", views.order, name="order"),
    path("tasks/", include("cq.urls")),
    path("admin/", admin.site.urls),
]
