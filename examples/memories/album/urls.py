from django.urls import path

from album import views

urlpatterns = [
    path("", views.home, name="home"),
    path("albums/new/", views.new_album, name="new_album"),
    path("albums/<int:pk>/", views.album, name="album"),
    path("albums/<int:pk>/upload/", views.upload, name="upload"),
    path("photos/<int:pk>/", views.photo, name="photo"),
    path("photos/<int:pk>/status/", views.photo_status, name="photo_status"),
]
