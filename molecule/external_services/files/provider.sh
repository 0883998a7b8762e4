#!/bin/sh
# A PostgreSQL as a provider sells it, beside the inventory's own: a role that may log in to one database over TLS, and
# little else. provider.sh ADDRESS PASSWORD prints the certificate of its authority.
set -eu
address=$1 password=$2 folder=/var/lib/bought
if [ ! -e "$folder" ]; then
    install -d -o postgres -g postgres -m 0755 "$folder"
    cd "$folder"
    new='openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc'
    $new -x509 -days 30 -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
        -subj '/O=A Provider, Inc./CN=Root CA' -keyout ca.key -out ca.pem 2>/dev/null
    $new -subj "/CN=$address" -keyout server.key -out server.csr 2>/dev/null
    printf 'subjectAltName=IP:%s\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n' "$address" >extensions
    openssl x509 -req -days 30 -in server.csr -CA ca.pem -CAkey ca.key -extfile extensions -out server.crt 2>/dev/null
    chown postgres: server.key
    version=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n | tail -n 1)
    pg_createcluster --port=5440 --locale=C.UTF-8 "$version" bought -- --no-sync --auth=reject >/dev/null
    for setting in "listen_addresses='*'" ssl=on "ssl_cert_file='$folder/server.crt'" \
        "ssl_key_file='$folder/server.key'" max_connections=40 shared_buffers=16MB; do
        pg_conftool "$version" bought set "${setting%%=*}" "$(echo "${setting#*=}" | tr -d "'")"
    done
    echo 'local all postgres peer
hostssl sold,sold_drill memories all scram-sha-256' >"/etc/postgresql/$version/bought/pg_hba.conf"
    systemctl start "postgresql@$version-bought"
fi
runuser -u postgres -- psql --no-psqlrc -qp 5440 <<SQL
SELECT set_config('log_min_messages', 'fatal', false) \g /dev/null
SELECT 'CREATE ROLE memories LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'memories') \gexec
ALTER ROLE memories PASSWORD '$password';
SELECT format('CREATE DATABASE %I', name) FROM (VALUES ('sold'), ('sold_drill')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
\c sold
CREATE SCHEMA IF NOT EXISTS monitoring;
CREATE TABLE IF NOT EXISTS monitoring.probes (number integer);
SQL
cat "$folder/ca.pem"
