#!/bin/sh
# What a plain shell script needs to install and start the same: the floor that Homeport is measured against.
# Runs on the server as root; the app's source is in /opt/floor/app. Serves it the way tutorials do:
# three sync workers, a database connection for each request, files by nginx.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends ca-certificates tzdata sudo nginx libnginx-mod-http-brotli-static \
    postgresql supervisor python3 python3-venv brotli
cd /opt/floor
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check -r app/requirements.txt
useradd --system --user-group floor
runuser -u postgres -- psql -q -c "create role floor login" -c "create database floor owner floor"
cat >./env <<END
DJANGO_SETTINGS_MODULE=memories.settings
SECRET_KEY=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
ALLOWED_HOSTS=floor.example
DATABASE_URL=postgres://floor@%2Fvar%2Frun%2Fpostgresql/floor
STATIC_ROOT=/opt/floor/static
MEDIA_ROOT=/opt/floor/media
END
mkdir -p static media
chown -R floor:www-data static media
cd app
# shellcheck disable=SC2046  # a word for each variable is what is wanted
run() { runuser -u floor -- env $(cat ../env) ../venv/bin/python manage.py "$@"; }
run migrate --noinput -v 0
run collectstatic --noinput -v 0
cat >/etc/supervisor/conf.d/floor.conf <<END
[program:floor]
command=/bin/sh -c "exec env \$(cat /opt/floor/env) /opt/floor/venv/bin/gunicorn --no-control-socket --workers 3 --bind unix:/tmp/floor.sock memories.wsgi"
directory=/opt/floor/app
user=floor
END
cat >/etc/nginx/sites-enabled/default <<'END'
server {
    listen 80;
    server_name floor.example;
    location /static/ { alias /opt/floor/static/; }
    location /media/ { alias /opt/floor/media/; }
    location / {
        proxy_pass http://unix:/tmp/floor.sock;
        proxy_set_header Host $host;
    }
}
END
supervisorctl update
systemctl reload nginx
for _ in $(seq 100); do
    [ -S /tmp/floor.sock ] && break
    sleep 0.1
done
